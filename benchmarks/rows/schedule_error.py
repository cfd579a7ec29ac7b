"""How late a token of `/stream-sse` comes: the schedule's error at 100, 1,000 and 10,000 streams."""

from collections.abc import Callable

from benchmarks.bench import Bench, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample
from benchmarks.streams import Streams

GAP_MS = 100
COUNTS = (100, 1_000, 10_000)
GOALS = {"p50": Goal(10), "p99": Goal(10), "max": Goal(100)}
PLACES = tuple(GOALS)


def _row(count: int, place: str) -> Row:
    return Row(
        f"schedule_error_{count}_{place}",
        f"lateness of a token, {place}, {count:,} streams of /stream-sse, a token every {GAP_MS} ms",
        "ms",
        target=GOALS[place],
    )


def _take(count: int) -> Callable[[Bench], Sample]:
    def take(bench: Bench) -> Sample:
        seconds, warmup = bench.seconds(8), bench.seconds(6)
        tokens = int(2 * (seconds + warmup) * 1000 / GAP_MS)  # none ends while it is measured
        path = f"/stream-sse?gap={GAP_MS}ms&tokens={tokens}"
        with bench.running(bench.tokenfall()) as server:
            read = Streams(count, seconds, warmup=warmup, gap_ms=GAP_MS, path=path).read_all(bench, server)
        return Sample({_row(count, place).name: float(read["late_ms"][place]) for place in PLACES}, read)

    return take


MEASUREMENTS = tuple(
    Measurement(tuple(_row(count, place) for place in PLACES), {OURS: _take(count)}) for count in COUNTS
)
