"""The environment of a run: how to start each server, on which cores, and how long to measure."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measurement import Row, Sample
from benchmarks.processes import Child, Process, free_port, listening
from benchmarks.toolchain import BUILD, HERE, Toolchain

ROOT = HERE.parent
LOGS = BUILD / "logs"
OUR_SETTINGS = {"RATE_LIMIT_RPS": "0"}  # the load generator opens thousands of streams from one address


def tokenfall_command(port: int) -> list[str]:
    return [sys.executable, "-m", "tokenfall", "serve", "--port", str(port)]


@dataclass(frozen=True)
class Server:
    """A process that listens on 127.0.0.1."""

    process: Process
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Launch:
    """A server that has not been started: its command, port and environment."""

    name: str
    port: int
    command: list[str]
    env: Mapping[str, str]

    def start(self, core: int) -> Child:
        return Child(self.command, core=core, env=self.env, log=LOGS / f"{self.name}.log")


@dataclass(frozen=True)
class Bench:
    """Passed to every side of every row. Servers run on one core, load generators on the other.

    `image` is an archive with the image for the container; without it, the image is built from the working tree.
    """

    tools: Toolchain
    quick: bool = False
    image: Path | None = None
    our_command: Callable[[int], list[str]] = tokenfall_command
    cores: tuple[int, ...] = field(default_factory=lambda: tuple(sorted(os.sched_getaffinity(0))))

    @property
    def server_core(self) -> int:
        return self.cores[0]

    @property
    def load_core(self) -> int:
        return self.cores[-1]

    def seconds(self, full: float) -> float:
        """The duration `full`, or a shorter one for a run that only checks that everything works."""
        return max(1.0, full / 5) if self.quick else full

    def tokenfall(self, **settings: str) -> Launch:
        port = free_port()
        env = {**OUR_SETTINGS, **settings, "PYTHONPATH": str(ROOT / "src")}
        return Launch("tokenfall", port, self.our_command(port), env)

    def go_peer(self, name: str, **settings: str) -> Launch:
        port = free_port()
        return Launch(name, port, [self.tools.program(name)], {"PORT": str(port), **settings})

    def floor(self, gap_ms: int, *flags: str) -> Launch:
        port = free_port()
        return Launch("floor", port, [self.tools.program("floor"), str(port), str(gap_ms), *flags], {})

    @contextmanager
    def running(self, launch: Launch, *, core: int | None = None) -> Iterator[Server]:
        """The server, which listens and has received no request. It is stopped at the end of the block."""
        child = launch.start(self.server_core if core is None else core)
        with listening(child, launch.port):
            yield Server(child, launch.port)


@dataclass(frozen=True)
class Measurement:
    """The rows that are measured in the same runs, and the sides that are run for them."""

    rows: tuple[Row, ...]
    sides: Mapping[str, Callable[[Bench], Sample]]
