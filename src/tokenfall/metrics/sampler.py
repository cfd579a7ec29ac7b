"""Computes the rows of the metrics' history. Pure: the caller passes metrics and time.

`bootstrap` calls it once a second while the server has clients.
"""

from __future__ import annotations

from math import nan

from tokenfall.metrics.history import CODES, MINUTES, MODELS, SECONDS
from tokenfall.metrics.registry import without_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenfall.metrics.history import MetricsHistory, NameTable
    from tokenfall.metrics.registry import Histogram, Metrics


WINDOW_S = 10
"""Window of the percentiles of a second, as in the dashboard's events. Percentiles of a minute cover that minute."""

FAILED = "failed"
"""The code of streams that failed after their status was sent."""


class _Counts:
    """Counters at one time, `at` in whole seconds. `codes` and `models` are by place in a row."""

    __slots__ = ("at", "codes", "latencies", "models", "requests", "tokens")

    def __init__(self, at: int, metrics: Metrics) -> None:
        self.at = at
        self.tokens = metrics.tokens
        self.requests = 0
        self.codes = [0] * CODES.places
        self.latencies = [each.copy() for each in (metrics.ttft_s, metrics.inter_token_s, metrics.timer_late_s)]
        self.models: list[Histogram | None] = [None] * MODELS.places


class MetricsSampler:
    """Writes the rows of one history: a row per second and, from the same samples, a row per minute.

    `before` are the metrics at the start, which rows do not include. `page_paths`: see `without_pages`.
    """

    def __init__(self, history: MetricsHistory, before: Metrics, *, now_s: float, page_paths: frozenset[str]) -> None:
        self._history = history
        self._page_paths = page_paths
        self._places: dict[tuple[NameTable, str], int] = {}
        self._last = self._counts(int(now_s), before)
        self._window = [self._last]
        self._minute = _Minute(self._last)
        self._was_idle = True

    def sample(self, metrics: Metrics, now_s: float, *, idle: bool) -> None:
        """Add the row of the second that ends at `now_s`. `idle`: nothing changes until the next sample."""
        counts, window, minute = self._counts(int(now_s), metrics), self._window, self._minute
        if minute.number != _minute_of(counts.at):
            if not self._was_idle:
                self._write_minute(idle=False)
            minute = self._minute = _Minute(self._last, number=_minute_of(counts.at))
        memories = (metrics.resident_bytes, metrics.request_memory_bytes, metrics.response_memory_bytes)
        gauges = (metrics.streams, metrics.connections, *(-(-each // 1024) for each in memories))
        minute.peaks = [*map(max, minute.peaks, gauges)]
        window.append(counts)
        while counts.at - window[1].at >= WINDOW_S:
            del window[0]
        row = [*gauges, *_increase(self._last, counts, since=window[0])]
        self._history.write(row, SECONDS, number=counts.at, idle=idle)
        self._last = counts
        self._was_idle = idle
        if idle:
            self._write_minute(idle=True)

    def _write_minute(self, *, idle: bool) -> None:
        minute = self._minute
        row = [*minute.peaks, *_increase(minute.start, self._last, since=minute.start)]
        self._history.write(row, MINUTES, number=minute.number, idle=idle)

    def _counts(self, at: int, metrics: Metrics) -> _Counts:
        counts = _Counts(at, metrics)
        for _, status, count in without_pages(metrics.requests, self._page_paths):
            counts.requests += count
            if status >= 400:
                counts.codes[self._place(CODES, str(status))] += count
        for count in metrics.streams_failed.values():
            counts.codes[self._place(CODES, FAILED)] += count
        for code, count in metrics.upstream_errors.items():
            counts.codes[self._place(CODES, code)] += count
        for model, histogram in metrics.upstream_ttft_s.items():
            place = self._place(MODELS, model)
            known = counts.models[place]
            if known is None:
                counts.models[place] = histogram.copy()
            else:
                known.merge(*histogram.snapshot())
        return counts

    def _place(self, names: NameTable, name: str) -> int:
        place = self._places.get((names, name))
        if place is None:
            place = self._places[names, name] = self._history.place(names, name)
        return place


class _Minute:
    """The current minute."""

    __slots__ = ("number", "peaks", "start")

    def __init__(self, start: _Counts, *, number: int | None = None) -> None:
        self.number = _minute_of(start.at) if number is None else number
        self.start = start
        self.peaks = [0] * 5  # streams, connections and three memories


def _minute_of(second: int) -> int:
    """The minute of a row's second; a row covers the second that ends at its time."""
    return (second - 1) // 60


def _increase(before: _Counts, now: _Counts, *, since: _Counts) -> Iterator[float]:
    """The values of a row after the gauges: counts since `before`, latencies since `since`.

    Not negative, even if the counts of a worker could not be read and are missing.
    """
    yield max(0, now.tokens - before.tokens)
    yield max(0, now.requests - before.requests)
    for latency, start in zip(now.latencies, since.latencies, strict=True):
        recent = latency.since(start.counts)
        yield sum(recent.counts)
        for share in (0.5, 0.9, 0.99):
            yield _quantile(recent, share)
    for count, start_count in zip(now.codes, before.codes, strict=True):
        yield max(0, count - start_count)
    for model, known in zip(now.models, since.models, strict=True):
        if model is None:
            yield nan
        else:
            yield _quantile(model if known is None else model.since(known.counts), 0.9)


def _quantile(histogram: Histogram, share: float) -> float:
    return histogram.quantile(share) if any(histogram.counts) else nan
