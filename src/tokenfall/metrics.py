"""Plain counters and histograms: the hot path adds to integers, nothing else.

Units are in the names. What text they become is decided in `tokenfall.api.metrics`; nothing here
knows a format, a lock or a clock. One event loop writes them, so no counter is guarded.
"""

from bisect import bisect_left
from itertools import accumulate

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

    def cumulative(self) -> list[int]:
        """How many observations were at most each bound; the last counts them all."""
        return list(accumulate(self.counts))


class Metrics:
    """Everything that Tokenfall counts in one process."""

    __slots__ = (
        "bytes_sent", "connections", "connections_refused", "inter_token_s", "log_lines_lost", "rate_limited",
        "requests", "stalled_readers", "streams", "streams_ended", "ticker_late_s", "tokens", "ttft_s",
        "upstream_errors",
    )  # fmt: skip

    def __init__(self) -> None:
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
        self.ttft_s = Histogram()
        self.inter_token_s = Histogram()
        self.ticker_late_s = Histogram()


def add(counts: dict[str, int], key: str) -> None:
    """Count `key` once more."""
    counts[key] = counts.get(key, 0) + 1
