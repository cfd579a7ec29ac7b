"""`/stream-loop` outside the box: processor time a token, memory a stream, lateness."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.bench import Bench, Launch, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample
from benchmarks.streams import Streams

FAST_GAP_MS = 20
SLOW_GAP_MS = 200

COST_ROW = Row(
    "token_cpu",
    "processor time a token, 2,000 streams, a token every 20 ms",
    "µs",
    target=Goal(1.0, against="gosim"),
    beyond=Goal(1.5, against="floor"),
)
MEMORY_ROW = Row(
    "stream_memory",
    "memory a stream, 4,000 streams, a token every 200 ms",
    "KiB",
    target=Goal(0.1, against="gosim"),
    beyond=Goal(1.5),
)
LATENESS_ROW = Row(
    "lateness",
    "lateness of a token, p99, 2,000 streams, a token every 20 ms",
    "ms",
    target=Goal(10),
    beyond=Goal(5),
)


def _fast(bench: Bench) -> Streams:
    path = f"/stream-loop?gap={FAST_GAP_MS}ms"
    return Streams(2000, bench.seconds(8), warmup=bench.seconds(4), gap_ms=FAST_GAP_MS, path=path)


def _slow(bench: Bench) -> Streams:
    path = f"/stream-loop?gap={SLOW_GAP_MS}ms"
    return Streams(4000, bench.seconds(4), warmup=bench.seconds(6), gap_ms=SLOW_GAP_MS, path=path)


@dataclass(frozen=True)
class _Job:
    """A row, the streams that are opened for it, and where its figure stands in what was read."""

    row: Row
    streams: Callable[[Bench], Streams]
    figure: Callable[[dict[str, Any]], float]

    def on(self, launch: Callable[[Bench], Launch]) -> Callable[[Bench], Sample]:
        """This job done by one server, as a side of a measurement."""

        def take(bench: Bench) -> Sample:
            with bench.running(launch(bench)) as server:
                read = self.streams(bench).read_all(bench, server)
            return Sample({self.row.name: self.figure(read)}, read)

        return take


def _tokenfall(bench: Bench) -> Launch:
    return bench.tokenfall()


def _gosim(bench: Bench) -> Launch:
    return bench.go_peer("gosim")


def _floor(bench: Bench) -> Launch:
    return bench.floor(FAST_GAP_MS)


_COST = _Job(COST_ROW, _fast, lambda read: float(read["cpu_us_per_token"]))
_MEMORY = _Job(MEMORY_ROW, _slow, lambda read: float(read["kib_per_stream"]))
_LATENESS = _Job(LATENESS_ROW, _fast, lambda read: float(read["late_ms"]["p99"]))

COST = Measurement((COST_ROW,), {OURS: _COST.on(_tokenfall), "gosim": _COST.on(_gosim), "floor": _COST.on(_floor)})
MEMORY = Measurement((MEMORY_ROW,), {OURS: _MEMORY.on(_tokenfall), "gosim": _MEMORY.on(_gosim)})
LATENESS = Measurement((LATENESS_ROW,), {OURS: _LATENESS.on(_tokenfall), "gosim": _LATENESS.on(_gosim)})
