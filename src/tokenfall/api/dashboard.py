"""`/board/events`: what the server is doing now, an event a second.

Called by the board page and by whoever likes it as JSON. It knows counters and a clock, and must never know a socket,
a store or a conversation. Nothing is sampled while nobody watches, and once a second for all who do. Imported when
the first one asks.
"""

from __future__ import annotations

from collections import deque
from time import time

import msgspec
from msgspec import Struct

from tokenfall import __version__
from tokenfall.api import problems
from tokenfall.errors import shutting_down
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, StreamHead
from tokenfall.metrics import Histogram, Metrics
from tokenfall.ports import Clock
from tokenfall.wire import sse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenfall.http.response import Send


EVERY_S = 1.0
"""Between two events."""

WINDOW_S = 10.0
"""What the percentiles are of: long enough to hold a few first tokens, short enough to be now."""

EARLY_S = 0.01
"""A clock may wake a sleeper a little early: the sample is taken then all the same."""

_STREAM = StreamHead(sse.CONTENT_TYPE)
_OVER = problems.error_event(shutting_down())


class Percentiles(Struct, frozen=True, kw_only=True):
    """Of `count` observations, in seconds."""

    count: int
    p50_s: float
    p90_s: float
    p99_s: float


class Requests(Struct, frozen=True):
    """How many requests of a route were answered so since the start."""

    route: str
    status: int
    count: int


class Now(Struct, kw_only=True):
    """One event. Rates are of the last second, percentiles of the last `window_s`, and None where nothing was seen.

    `at` is in Unix seconds. What is named in the plural is counted since the start, but streams, connections, detached
    turns and workers are those of now. `sim` is the simulator's default; `draining` says that no new work is taken.
    """

    at: float
    uptime_s: float
    version: str
    workers: int
    streams: int
    connections: int
    detached_turns: int
    resident_bytes: int
    tokens_per_s: float
    requests_per_s: float
    window_s: float
    ttft: Percentiles | None
    inter_token: Percentiles | None
    ticker_late: Percentiles | None
    tokens: int
    requests: list[Requests]
    streams_ended: dict[str, int]
    upstream_errors: dict[str, int]
    upstream_retries: int
    rate_limited: int
    stalled_readers: int
    connections_refused: int
    log_lines_lost: int
    sim: str = ""
    draining: bool = False


class _Sample(Struct, frozen=True):
    """What the next events are compared with. `at_s` is the clock's."""

    at_s: float
    tokens: int
    requests: int
    ttft: list[int]
    inter_token: list[int]
    timer_late: list[int]


class Dashboard:
    """The handler. `measured` gives the counters as they are now, those of all workers together, and `sim` the
    simulator's default, in its grammar.
    """

    def __init__(
        self,
        measured: Callable[[], Metrics],
        clock: Clock,
        *,
        sim: Callable[[], str],
        started_s: float,
        is_draining: Callable[[], bool],
    ) -> None:
        self._measured = measured
        self._sim = sim
        self._clock = clock
        self._started_s = started_s
        self._is_draining = is_draining
        self._samples: deque[_Sample] = deque()
        self._frame = b""
        self._due_s = 0.0  # when the next sample is, for all who watch

    def events(self, request: Request) -> LiveStream:
        """`GET /board/events`: endless, and over when the server drains and its last stream has ended."""
        stream = LiveStream(_STREAM, self._play, failure=problems.error_event, keepalive=sse.PING, shutdown_frame=_OVER)
        stream.announced = True
        stream.counted = False
        return stream

    async def _play(self, send: Send) -> bytes:
        while not self._is_over():
            frame = self._now()
            full = send(frame) if frame else None
            if full is not None:
                await full
            await self._clock.sleep_until(self._due_s)
        return _OVER

    def _is_over(self) -> bool:
        """Nothing more will happen."""
        return self._is_draining() and self._measured().streams == 0

    def _now(self) -> bytes:
        """The frame of this second, made by the first who asks for it; empty when there is nothing to compare with."""
        now_s, samples = self._clock.now(), self._samples
        if samples and now_s - samples[-1].at_s > 3 * EVERY_S:
            samples.clear()  # nobody has watched for a while
            self._frame = b""
        if not samples:
            self._due_s = now_s
        if now_s > self._due_s - EARLY_S:
            self._take(now_s)
            self._due_s = max(self._due_s + EVERY_S, now_s + EVERY_S / 2)  # who wakes late makes no other late
        return self._frame

    def _take(self, now_s: float) -> None:
        metrics, samples = self._measured(), self._samples
        samples.append(_sample(metrics, now_s))
        while len(samples) > 2 and now_s - samples[1].at_s >= WINDOW_S:
            samples.popleft()
        if len(samples) > 1:
            told = _told(metrics, samples, started_s=self._started_s)
            told.sim, told.draining = self._sim(), self._is_draining()
            self._frame = sse.frame(msgspec.json.encode(told))


def _sample(metrics: Metrics, now_s: float) -> _Sample:
    return _Sample(
        now_s,
        metrics.tokens,
        sum(metrics.requests.values()),
        metrics.ttft_s.counts.copy(),
        metrics.inter_token_s.counts.copy(),
        metrics.timer_late_s.counts.copy(),
    )


def _told(metrics: Metrics, samples: deque[_Sample], *, started_s: float) -> Now:
    first, before, last = samples[0], samples[-2], samples[-1]
    took_s = last.at_s - before.at_s
    return Now(
        at=round(time(), 3),
        uptime_s=round(last.at_s - started_s, 3),
        version=__version__,
        workers=metrics.workers,
        streams=metrics.streams,
        connections=metrics.connections,
        detached_turns=metrics.detached_turns,
        resident_bytes=metrics.resident_bytes,
        tokens_per_s=_rate(last.tokens - before.tokens, took_s),
        requests_per_s=_rate(last.requests - before.requests, took_s),
        window_s=round(last.at_s - first.at_s, 3),
        ttft=_percentiles(metrics.ttft_s, first.ttft),
        inter_token=_percentiles(metrics.inter_token_s, first.inter_token),
        ticker_late=_percentiles(metrics.timer_late_s, first.timer_late),
        tokens=metrics.tokens,
        requests=list(_requests(metrics)),
        streams_ended=metrics.streams_ended,
        upstream_errors=metrics.upstream_errors,
        upstream_retries=metrics.upstream_retries,
        rate_limited=metrics.rate_limited,
        stalled_readers=metrics.stalled_readers,
        connections_refused=metrics.connections_refused,
        log_lines_lost=metrics.log_lines_lost,
    )


def _rate(more: int, took_s: float) -> float:
    """Never below 0, also when a worker's counts could not be read for once and are missing."""
    return round(max(0, more) / took_s, 2)


def _requests(metrics: Metrics) -> Iterator[Requests]:
    for (route, status), count in metrics.requests.items():
        yield Requests(route, status, count)


def _percentiles(histogram: Histogram, before: list[int]) -> Percentiles | None:
    """Of what was observed since the counts were `before`."""
    seen = histogram.since(before)
    count = sum(seen.counts)
    if count == 0 or min(seen.counts) < 0:  # below: a worker's are missing
        return None
    p50_s, p90_s, p99_s = (round(seen.quantile(share), 6) for share in (0.5, 0.9, 0.99))
    return Percentiles(count=count, p50_s=p50_s, p90_s=p90_s, p99_s=p99_s)
