"""The handler of `/board/events`: live metrics of the server, one JSON event per second, for the dashboard page.

It uses counters and a clock, and must not depend on sockets, stores or conversations. One sample per second serves all
clients; without clients there is none. Imported at the first request.
"""

from __future__ import annotations

from collections import deque
from time import time

import msgspec
from msgspec import Struct, structs

from tokenfall import __version__
from tokenfall.api import problems
from tokenfall.errors import shutting_down
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, StreamHead
from tokenfall.metrics.registry import Histogram, Metrics, without_pages
from tokenfall.ports import Clock
from tokenfall.wire import sse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenfall.http.response import Send


EVERY_S = 1.0
"""Interval between two events."""

WINDOW_S = 10.0
"""Window of the percentiles: long enough to contain a few first tokens, short enough to show the current state."""

EARLY_S = 0.01
"""Tolerance for a clock that wakes a coroutine early: the sample is taken anyway."""

STREAMED = 200
"""The status of all streams."""

_COPIED = (
    "workers", "streams", "connections", "detached_turns", "resident_bytes", "request_memory_bytes",
    "response_memory_bytes", "tokens", "streams_ended", "upstream_errors", "upstream_retries", "rate_limited",
    "stalled_readers", "connections_refused", "log_lines_lost",
)  # fmt: skip
"""The fields of an event that are metrics of the same name."""

_STREAM = StreamHead(sse.CONTENT_TYPE)
_SHUTDOWN_FRAME = problems.error_event(shutting_down())


class Percentiles(Struct, frozen=True, kw_only=True):
    """Percentiles of `count` observations."""

    count: int
    p50_s: float
    p90_s: float
    p99_s: float


class ModelLatency(Percentiles, frozen=True, kw_only=True):
    """Times to the first token of a model of the upstream."""

    model: str


class Requests(Struct, frozen=True):
    """Number of requests of a route with this response status since the start; `failed` is how many failed after it."""

    route: str
    status: int
    count: int
    failed: int = 0


class Now(Struct, kw_only=True):
    """One event. Rates cover the last second; percentiles the last `window_s`, None without observations. Requests of
    the chat page and of the dashboard are counted only if the server failed or refused them for its limits.

    `at` is Unix time. `workers`, `streams`, `connections`, `detached_turns` and the memories in bytes are current
    values; the other counts are since the start. `sim` is the simulator's default settings in its grammar; `draining`
    is true while the server accepts no new work before it stops.
    """

    at: float
    uptime_s: float
    version: str
    workers: int
    streams: int
    connections: int
    detached_turns: int
    resident_bytes: int
    request_memory_bytes: int
    response_memory_bytes: int
    tokens_per_s: float
    requests_per_s: float
    window_s: float
    ttft: Percentiles | None
    inter_token: Percentiles | None
    ticker_late: Percentiles | None
    upstream_ttft: list[ModelLatency]
    tokens: int
    requests: list[Requests]
    streams_ended: dict[str, int]
    upstream_errors: dict[str, int]
    upstream_retries: int
    rate_limited: int
    memory_refused: int
    stalled_readers: int
    connections_refused: int
    log_lines_lost: int
    sim: str = ""
    draining: bool = False


class _Sample(Struct, frozen=True):
    """Counters at one time, from which later events compute rates and percentiles. `at_s` is the clock's time."""

    at_s: float
    tokens: int
    requests: int
    ttft: list[int]
    inter_token: list[int]
    timer_late: list[int]
    models: dict[str, list[int]]


class Dashboard:
    """The handler.

    `measured` returns the current metrics of all workers together, `sim` the simulator's default settings in its
    grammar. `page_paths`: paths of the pages; see `without_pages`.
    """

    def __init__(
        self,
        measured: Callable[[], Metrics],
        clock: Clock,
        *,
        page_paths: frozenset[str],
        sim: Callable[[], str],
        started_s: float,
        is_draining: Callable[[], bool],
    ) -> None:
        self._measured = measured
        self._sim = sim
        self._page_paths = page_paths
        self._clock = clock
        self._started_s = started_s
        self._is_draining = is_draining
        self._samples: deque[_Sample] = deque()
        self._frame = b""
        self._due_s = 0.0  # time of the next sample, common to all clients

    def events(self, request: Request) -> LiveStream:
        """`GET /board/events`: an endless stream; it ends when the server drains and its last stream has ended."""
        stream = LiveStream(_STREAM, self._run, failure=problems.error_event, keepalive=sse.PING)
        stream.announced = True
        stream.counted = False
        return stream

    async def _run(self, send: Send) -> bytes:
        while not (self._is_draining() and self._measured().streams == 0):
            frame = self._current_frame()
            full = send(frame) if frame else None
            if full is not None:
                await full
            await self._clock.sleep_until(self._due_s)
        return _SHUTDOWN_FRAME

    def _current_frame(self) -> bytes:
        """The frame of this second, made by the first client's call; empty until there are two samples."""
        now_s, samples = self._clock.now(), self._samples
        if samples and now_s - samples[-1].at_s > 3 * EVERY_S:
            samples.clear()  # there was no client for some time
            self._frame = b""
        if not samples:
            self._due_s = now_s
        if now_s > self._due_s - EARLY_S:
            self._take_sample(now_s)
            self._due_s = max(self._due_s + EVERY_S, now_s + EVERY_S / 2)  # a late sample must not delay the next
        return self._frame

    def _take_sample(self, now_s: float) -> None:
        metrics, samples = self._measured(), self._samples
        requests = list(_requests(metrics, self._page_paths))
        samples.append(_sample(metrics, now_s, requests=sum(each.count for each in requests)))
        while len(samples) > 2 and now_s - samples[1].at_s >= WINDOW_S:
            samples.popleft()
        if len(samples) > 1:
            event = _event(metrics, samples, requests=requests, started_s=self._started_s)
            event.sim, event.draining = self._sim(), self._is_draining()
            self._frame = sse.frame(msgspec.json.encode(event))


def _sample(metrics: Metrics, now_s: float, *, requests: int) -> _Sample:
    return _Sample(
        now_s,
        metrics.tokens,
        requests,
        metrics.ttft_s.counts.copy(),
        metrics.inter_token_s.counts.copy(),
        metrics.timer_late_s.counts.copy(),
        {model: histogram.counts.copy() for model, histogram in metrics.upstream_ttft_s.items()},
    )


def _event(metrics: Metrics, samples: deque[_Sample], *, requests: list[Requests], started_s: float) -> Now:
    first, before, last = samples[0], samples[-2], samples[-1]
    took_s = last.at_s - before.at_s
    return Now(
        at=round(time(), 3),
        uptime_s=round(last.at_s - started_s, 3),
        version=__version__,
        tokens_per_s=_rate(last.tokens - before.tokens, took_s),
        requests_per_s=_rate(last.requests - before.requests, took_s),
        window_s=round(last.at_s - first.at_s, 3),
        ttft=_percentiles(metrics.ttft_s, first.ttft),
        inter_token=_percentiles(metrics.inter_token_s, first.inter_token),
        ticker_late=_percentiles(metrics.timer_late_s, first.timer_late),
        upstream_ttft=list(_models(metrics, first.models)),
        requests=requests,
        memory_refused=sum(metrics.memory_refused.values()),
        **{name: getattr(metrics, name) for name in _COPIED},
    )


def _rate(increase: int, took_s: float) -> float:
    """Events per second; not negative even if the counts of a worker could not be read and are missing."""
    return round(max(0, increase) / took_s, 2)


def _requests(metrics: Metrics, page_paths: frozenset[str]) -> Iterator[Requests]:
    for route, status, count in without_pages(metrics.requests, page_paths):
        yield Requests(route, status, count, metrics.streams_failed.get(route, 0) if status == STREAMED else 0)


def _models(metrics: Metrics, before: dict[str, list[int]]) -> Iterator[ModelLatency]:
    for model, histogram in metrics.upstream_ttft_s.items():
        recent = _percentiles(histogram, before.get(model) or [0] * len(histogram.counts))
        if recent is not None:
            yield ModelLatency(model=model, **structs.asdict(recent))


def _percentiles(histogram: Histogram, before: list[int]) -> Percentiles | None:
    """Percentiles of the observations after the counts were `before`; None without any."""
    recent = histogram.since(before)
    count = sum(recent.counts)
    if count == 0:
        return None
    p50_s, p90_s, p99_s = (round(recent.quantile(share), 6) for share in (0.5, 0.9, 0.99))
    return Percentiles(count=count, p50_s=p50_s, p90_s=p90_s, p99_s=p99_s)
