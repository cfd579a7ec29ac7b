"""Plain counters and histograms: the hot path adds to integers, nothing else.

Units are in the names. What text they become is decided in `tokenfall.api.metrics`; nothing here
knows a format, a lock or a clock. One event loop writes them, so no counter is guarded.
"""

from bisect import bisect_left
from itertools import accumulate
from typing import Any

Snapshot = dict[str, Any]
"""A copy of all metrics by their names, in plain numbers, lists and dicts: it may go to another process."""

GAUGES = frozenset({"connections", "resident_bytes", "streams", "workers"})
"""What is true of now. Everything else is counted since the start and never goes down."""

LATENCY_BOUNDS_S = (
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0,
)  # fmt: skip
"""Upper bounds of all latency histograms, seconds: finer than a wheel's slot, wider than a first-token timeout."""


class Histogram:
    """Counts of observations between fixed bounds, with their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = LATENCY_BOUNDS_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value`, as often as `times` says."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def snapshot(self) -> tuple[list[int], float]:
        """A copy; the bounds are the program's and stay out of it."""
        return self.counts.copy(), self.total

    def merge(self, counts: list[int], total: float) -> None:
        """Add what another histogram of the same bounds counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, counts, strict=True)]
        self.total += total

    def cumulative(self) -> list[int]:
        """How many observations were at most each bound; the last counts them all."""
        return list(accumulate(self.counts))


class Metrics:
    """Everything that Tokenfall counts in one process: integers, counts by name and histograms.

    A new one needs a slot and a start: snapshots and sums go by the slots.
    """

    __slots__ = (
        "bytes_sent", "connections", "connections_refused", "inter_token_s", "log_lines_lost", "rate_limited",
        "requests", "resident_bytes", "stalled_readers", "streams", "streams_ended", "ticker_late_s", "tokens",
        "ttft_s", "upstream_errors", "upstream_retries", "workers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.workers = 1
        self.resident_bytes = 0
        self.connections = 0
        self.connections_refused = 0
        self.streams = 0
        self.streams_ended: dict[str, int] = {}
        self.tokens = 0
        self.bytes_sent = 0
        self.requests: dict[tuple[str, int], int] = {}
        self.stalled_readers = 0
        self.rate_limited = 0
        self.log_lines_lost = 0
        self.upstream_errors: dict[str, int] = {}
        self.upstream_retries = 0
        self.ttft_s = Histogram()
        self.inter_token_s = Histogram()
        self.ticker_late_s = Histogram()

    def snapshot(self) -> Snapshot:
        """What is counted by now; nothing of it changes later."""
        return {name: _copy(getattr(self, name)) for name in self.__slots__}

    def merge(self, snapshot: Snapshot, *, gauges: bool = True) -> None:
        """Add what another process counted, counts by name name by name; without its gauges when it is dead."""
        for name in self.__slots__:
            if not gauges and name in GAUGES:
                continue
            mine, theirs = getattr(self, name), snapshot[name]
            if isinstance(mine, Histogram):
                mine.merge(*theirs)
            elif isinstance(mine, dict):
                for key, count in theirs.items():
                    mine[key] = mine.get(key, 0) + count
            else:
                setattr(self, name, mine + theirs)


def _copy(value: "int | dict[Any, int] | Histogram") -> object:
    if isinstance(value, Histogram):
        return value.snapshot()
    return value.copy() if isinstance(value, dict) else value


def add(counts: dict[str, int], key: str) -> None:
    """Count `key` once more."""
    counts[key] = counts.get(key, 0) + 1
