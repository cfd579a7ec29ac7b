"""`/stream-loop`: processor time per token, memory per stream."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import Bench, Launch, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample
from benchmarks.streams import Streams

FAST_GAP_MS = 20
SLOW_GAP_MS = 200

COST_ROW = Row(
    "token_cpu",
    "processor time per token, 2,000 streams, a token every 20 ms",
    "µs",
    target=Goal(0.62, against="gosim"),
    beyond=Goal(0.57, against="gosim"),
)
DISTANCE_ROW = Row(
    "token_cpu_floor",
    "the same, compared with the minimum that a server can use",
    "µs",
    target=Goal(1.35, against="floor"),
    beyond=Goal(1.25, against="floor"),
)
MEMORY_ROW = Row(
    "stream_memory",
    "memory per stream, 4,000 streams, a token every 200 ms",
    "KiB",
    target=Goal(0.8),
    beyond=Goal(0.4),
)


def _fast(bench: Bench) -> Streams:
    path = f"/stream-loop?gap={FAST_GAP_MS}ms"
    return Streams(2000, bench.seconds(8), warmup=bench.seconds(4), gap_ms=FAST_GAP_MS, path=path)


def _slow(bench: Bench) -> Streams:
    path = f"/stream-loop?gap={SLOW_GAP_MS}ms"
    return Streams(4000, bench.seconds(4), warmup=bench.seconds(6), gap_ms=SLOW_GAP_MS, path=path)


@dataclass(frozen=True)
class _Job:
    """Rows, the streams that are opened for them, and the name of their figure in the result of the load generator."""

    rows: tuple[Row, ...]
    streams: Callable[[Bench], Streams]
    figure: str

    def on(self, launch: Callable[[Bench], Launch]) -> Callable[[Bench], Sample]:
        """The side of a measurement that does this job with one server."""

        def take(bench: Bench) -> Sample:
            with bench.running(launch(bench)) as server:
                read = self.streams(bench).read_all(bench, server)
            return Sample({row.name: float(read[self.figure]) for row in self.rows}, read)

        return take


def _tokenfall(bench: Bench) -> Launch:
    return bench.tokenfall()


def _gosim(bench: Bench) -> Launch:
    return bench.go_peer("gosim")


def _floor(bench: Bench) -> Launch:
    return bench.floor(FAST_GAP_MS)


_COST = _Job((COST_ROW, DISTANCE_ROW), _fast, "cpu_us_per_token")
_MEMORY = _Job((MEMORY_ROW,), _slow, "kib_per_stream")

COST = Measurement(_COST.rows, {OURS: _COST.on(_tokenfall), "gosim": _COST.on(_gosim), "floor": _COST.on(_floor)})
MEMORY = Measurement(_MEMORY.rows, {OURS: _MEMORY.on(_tokenfall), "gosim": _MEMORY.on(_gosim)})
