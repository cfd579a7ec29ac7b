"""Asks load/streamload for its figures."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from benchmarks.bench import Bench, Server
from benchmarks.measurement import NotMeasured

TIME_LIMIT_S = 330  # streamload ends itself within 300


@dataclass(frozen=True)
class Streams:
    """What to open. Times in seconds, gaps in milliseconds, as the server is asked for them."""

    count: int
    seconds: float
    warmup: float
    gap_ms: float
    path: str = "/stream-loop"
    body: str | None = None
    every_ms: float = 0

    def _arguments(self) -> list[str]:
        given = {
            "--streams": self.count,
            "--seconds": self.seconds,
            "--warmup": self.warmup,
            "--gap-ms": self.gap_ms,
            "--path": self.path,
            "--every-ms": self.every_ms,
        }
        if self.body is not None:
            given["--body"] = self.body
        return [part for name, value in given.items() for part in (name, str(value))]

    def read(self, bench: Bench, server: Server) -> dict[str, Any]:
        """streamload's line, and the share `delivered` of the tokens that were due while it measured."""
        program = bench.tools.program("streamload")
        where = ["--port", str(server.port), "--pid", str(server.pid)]
        done = subprocess.run(
            ["taskset", "-c", str(bench.load_core), program, *where, *self._arguments()],
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise NotMeasured(done.stderr.strip())
        line: dict[str, Any] = json.loads(done.stdout)
        due = self.count * self.seconds * 1000 / self.gap_ms
        return {**line, "delivered": line["tokens"] / due}

    def read_all(self, bench: Bench, server: Server) -> dict[str, Any]:
        """The same, for a server that is expected to hold every one of them."""
        line = self.read(bench, server)
        lost = line["refused"] + line["closed"]
        if lost:
            raise NotMeasured(f"{server.name} refused or closed {lost} of {self.count} streams")
        return line
