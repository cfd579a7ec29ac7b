"""Counters and histograms. On the hot path they cost additions to integers only.

Units are in the names. `tokenfall.api.metrics` renders them; this module must not depend on formats, locks or clocks.
One event loop writes them, so no counter needs a lock.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeVar

    K = TypeVar("K")

    Snapshot = dict[str, Any]
    """A copy of all metrics by name, of plain numbers, lists and dicts, which may be sent to another process."""


GAUGES = frozenset(
    {
        "connections", "detached_turns", "request_memory_bytes", "resident_bytes", "response_memory_bytes", "streams",
        "timer_resolution_s", "workers",
    }
)  # fmt: skip
"""Metrics of the current state. All others are counters, which never decrease."""

MAXIMA = frozenset({"timer_resolution_s"})
"""Gauges that are combined over processes by maximum, not by sum."""

EXPORTED_BOUNDS_S = (
    0.000125, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0,
    16.0, 32.0,
)  # fmt: skip
"""Upper bounds of all latency histograms in `/metrics`, seconds: from the resolution of the timer wheel to more than a
first-token timeout."""

STEPS = 4
"""Internal buckets per exported bucket, so that a percentile has an error of at most a fifth."""


def _finer(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """`bounds` with additional geometric steps between each two; every `STEPS`th is one of `bounds`."""
    between = (low * (high / low) ** (step / STEPS) for low, high in pairwise(bounds) for step in range(STEPS))
    return (*between, bounds[-1])


METERED_MODELS = 8
"""Maximum number of upstream models with their own latency metrics: clients choose the names."""

MODEL_CHARACTERS = 64
"""Length to which the names of models are truncated."""

OTHER = "other"
"""The name of all other models and codes together."""

LATENCY_BOUNDS_S = _finer(EXPORTED_BOUNDS_S)
"""Internal upper bounds of all latency histograms, seconds."""


class Histogram:
    """A histogram with fixed bounds, and the sum of its observations."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = LATENCY_BOUNDS_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value` `times` times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def snapshot(self) -> tuple[list[int], float]:
        """A copy without the bounds, which are constants of the program."""
        return self.counts.copy(), self.total

    def copy(self) -> Histogram:
        """A copy with the same bounds."""
        copied = Histogram(self.bounds)
        copied.merge(self.counts, self.total)
        return copied

    def merge(self, counts: list[int], total: float) -> None:
        """Add the counts of another histogram with the same bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, counts, strict=True)]
        self.total += total

    def since(self, before: list[int]) -> Histogram:
        """The observations since the counts were `before`. Its total is unknown, and 0.

        Empty if a count has decreased, because then the counts of a worker are missing.
        """
        later = Histogram(self.bounds)
        increases = [now - then for now, then in zip(self.counts, before, strict=True)]
        if min(increases) >= 0:
            later.counts = increases
        return later

    def quantile(self, share: float) -> float:
        """The approximate quantile `share`, from 0 to 1; at most the last bound; 0 without observations.

        Interpolates geometrically inside a bucket, linearly in the first one, which starts at 0.
        """
        left = share * sum(self.counts)
        low = 0.0
        for high, count in zip(self.bounds, self.counts, strict=False):
            if count and left <= count:
                part = left / count
                return low * (high / low) ** part if low else high * part
            left -= count
            low = high
        return low if any(self.counts) else 0.0

    def cumulative(self) -> list[int]:
        """Cumulative counts, as in Prometheus; the last counts all observations."""
        return list(accumulate(self.counts))


class Metrics:
    """All metrics of one process: integers, counts by label and histograms.

    A new metric needs an entry in `__slots__` and an initial value; snapshots and sums iterate over `__slots__`.
    """

    __slots__ = (
        "bytes_sent", "connections", "connections_refused", "detached_turns", "inter_token_s", "log_lines_lost",
        "memory_refused", "rate_limited", "redis_failures", "request_memory_bytes", "requests", "resident_bytes",
        "response_memory_bytes", "stalled_readers", "streams", "streams_ended", "streams_failed", "timer_late_s",
        "timer_resolution_s", "tokens", "ttft_s", "upstream_errors", "upstream_retries", "upstream_ttft_s", "workers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.workers = 1
        self.resident_bytes = 0
        self.request_memory_bytes = 0
        """Memory of request bodies, requests to the upstream and running chats; see `tokenfall.memory.leases`."""
        self.response_memory_bytes = 0
        """Memory of the responses that are held complete."""
        self.memory_refused: dict[tuple[str, str], int] = {}
        """Requests refused for lack of memory, by memory (`requests`, `responses`) and reason (`limit`, `share`)."""
        self.timer_resolution_s = 0.0
        self.connections = 0
        self.connections_refused = 0
        self.detached_turns = 0
        self.streams = 0
        self.streams_ended: dict[str, int] = {}
        self.streams_failed: dict[str, int] = {}
        """By route: responses that failed after their status was sent."""
        self.tokens = 0
        self.bytes_sent = 0
        self.requests: dict[tuple[str, int], int] = {}
        self.stalled_readers = 0
        self.rate_limited = 0
        self.log_lines_lost = 0
        self.redis_failures: dict[str, int] = {}
        self.upstream_errors: dict[str, int] = {}
        self.upstream_retries = 0
        self.upstream_ttft_s: dict[str, Histogram] = {}
        """By model: time from a request to its first token from the upstream, with retries."""
        self.ttft_s = Histogram()
        self.inter_token_s = Histogram()
        self.timer_late_s = Histogram()

    def upstream_began(self, model: str, after_s: float) -> None:
        """Record the time to the first token of a response from the upstream."""
        models = self.upstream_ttft_s
        name = model[:MODEL_CHARACTERS] if model.isprintable() else OTHER
        if name not in models and len(models) >= METERED_MODELS:
            name = OTHER
        histogram = models.get(name)
        if histogram is None:
            histogram = models[name] = Histogram()
        histogram.observe(after_s)

    def snapshot(self) -> Snapshot:
        """A copy of the current values."""
        return {name: _copy(getattr(self, name)) for name in self.__slots__}

    def merge(self, snapshot: Snapshot, *, gauges: bool = True) -> None:
        """Add the values of another process; `gauges` is False for a process that has ended."""
        for name in self.__slots__:
            if not gauges and name in GAUGES:
                continue
            mine, theirs = getattr(self, name), snapshot[name]
            if isinstance(mine, Histogram):
                mine.merge(*theirs)
            elif isinstance(mine, dict):
                _merge_by_name(mine, theirs)
            else:
                setattr(self, name, max(mine, theirs) if name in MAXIMA else mine + theirs)


def _copy(value: int | dict[Any, Any] | Histogram) -> object:
    if isinstance(value, Histogram):
        return value.snapshot()
    return {key: _copy(each) for key, each in value.items()} if isinstance(value, dict) else value


def _merge_by_name(mine: dict[Any, Any], theirs: dict[Any, Any]) -> None:
    for key, value in theirs.items():
        if isinstance(value, int):
            mine[key] = mine.get(key, 0) + value
        else:
            mine.setdefault(key, Histogram()).merge(*value)


def add(counts: dict[K, int], key: K) -> None:
    """Increment the count of `key`."""
    counts[key] = counts.get(key, 0) + 1


def without_pages(requests: dict[tuple[str, int], int], page_paths: frozenset[str]) -> Iterator[tuple[str, int, int]]:
    """`requests` as (route, status, count), without those that the server's own pages send by themselves.

    Where the server failed (5xx) or its limit refused a request (429), the path makes no difference.
    """
    for (route, status), count in requests.items():
        if route not in page_paths or status >= 500 or status == 429:
            yield route, status, count
