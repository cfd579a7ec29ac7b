"""Runs the load generator load/streamload."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Server
from benchmarks.measurement import NotMeasured

TIME_LIMIT_S = 330  # streamload itself ends within 300 s


@dataclass(frozen=True)
class Streams:
    """The streams to open. Times are in seconds; `gap_ms` is the gap that the server is configured with.

    `deadlines` is a file with the deadline of each token of a stream, if the gaps are not all `gap_ms`.
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
        """The figures of streamload and, with constant gaps, `delivered`: the share of the due tokens that arrived.

        `at` has functions to call at the start (`measuring`) and the end (`measured`) of the measurement.
        """
        program = bench.tools.program("streamload")
        where = ["--port", str(server.port), "--pid", str(server.pid)]
        with subprocess.Popen(
            ["taskset", "-c", str(bench.load_core), program, *where, *self._arguments()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as load:
            lines = [line.strip() for line in _followed(load, at or {})]
            output, _ = load.communicate(timeout=TIME_LIMIT_S)
        if load.returncode:
            raise NotMeasured(lines[-1] if lines else "streamload failed")
        line: dict[str, Any] = json.loads(output)
        if self.deadlines is None:
            line["delivered"] = line["tokens"] * self.gap_ms / (self.count * self.seconds * 1000)
        return line

    def read_all(
        self, bench: Bench, server: Server, *, at: Mapping[str, Callable[[], None]] | None = None
    ) -> dict[str, Any]:
        """As `read`; raises `NotMeasured` if the server refused or closed a stream."""
        line = self.read(bench, server, at=at)
        lost = line["refused"] + line["closed"]
        if lost:
            raise NotMeasured(f"{server.name} refused or closed {lost} of {self.count} streams")
        return line


def _followed(load: subprocess.Popen[str], at: Mapping[str, Callable[[], None]]) -> Iterator[str]:
    """The lines of its standard error; for a line that is a key of `at`, its function is called."""
    for line in load.stderr or ():
        at.get(line.strip(), _nothing)()
        yield line


def _nothing() -> None:
    pass
