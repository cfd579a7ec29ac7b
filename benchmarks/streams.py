"""Asks load/streamload for its figures."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Server
from benchmarks.measurement import NotMeasured

TIME_LIMIT_S = 330  # streamload ends itself within 300


@dataclass(frozen=True)
class Streams:
    """What to open. Times in seconds, gaps in milliseconds, as the server is asked for them.

    `deadlines` is a file with the deadline of each token of a stream, where the gaps are not all `gap_ms`.
    """

    count: int
    seconds: float
    warmup: float
    gap_ms: float
    path: str = "/stream-loop"
    body: str | None = None
    every_ms: float = 0
    deadlines: Path | None = None
    open_within_s: float = 60

    def _arguments(self) -> list[str]:
        given = {
            "--streams": self.count,
            "--seconds": self.seconds,
            "--warmup": self.warmup,
            "--gap-ms": self.gap_ms,
            "--path": self.path,
            "--every-ms": self.every_ms,
            "--open-within": self.open_within_s,
        }
        if self.body is not None:
            given["--body"] = self.body
        if self.deadlines is not None:
            given["--deadlines"] = self.deadlines
        return [part for name, value in given.items() for part in (name, str(value))]

    def read(
        self, bench: Bench, server: Server, *, at: Mapping[str, Callable[[], None]] | None = None
    ) -> dict[str, Any]:
        """streamload's line, and with even gaps the share `delivered` of the tokens that were due while it measured.

        `at` may have a function to call when it says that it is `measuring`, and one for `measured`.
        """
        program = bench.tools.program("streamload")
        where = ["--port", str(server.port), "--pid", str(server.pid)]
        with subprocess.Popen(
            ["taskset", "-c", str(bench.load_core), program, *where, *self._arguments()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as load:
            said = [line.strip() for line in _followed(load, at or {})]
            output, _ = load.communicate(timeout=TIME_LIMIT_S)
        if load.returncode:
            raise NotMeasured(said[-1] if said else "streamload failed")
        line: dict[str, Any] = json.loads(output)
        if self.deadlines is None:
            line["delivered"] = line["tokens"] * self.gap_ms / (self.count * self.seconds * 1000)
        return line

    def read_all(
        self, bench: Bench, server: Server, *, at: Mapping[str, Callable[[], None]] | None = None
    ) -> dict[str, Any]:
        """The same, for a server that is expected to hold every one of them."""
        line = self.read(bench, server, at=at)
        lost = line["refused"] + line["closed"]
        if lost:
            raise NotMeasured(f"{server.name} refused or closed {lost} of {self.count} streams")
        return line


def _followed(load: subprocess.Popen[str], at: Mapping[str, Callable[[], None]]) -> Iterator[str]:
    """What it writes to stderr, line by line; the line that is a key of `at` calls its function."""
    for line in load.stderr or ():
        at.get(line.strip(), _nothing)()
        yield line


def _nothing() -> None:
    pass
