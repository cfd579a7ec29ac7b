"""What paced, steady and live streams have in common: each test runs with a stream of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import cycle, repeat
from typing import TYPE_CHECKING

import pytest

from tokenfall.errors import ShuttingDown
from tokenfall.http.half_closed import PROBES_S
from tokenfall.http.request import Request
from tokenfall.http.response import EncodedFrames, LiveStream, PacedStream, RepeatedStream, StreamHead, TimedStream
from tokenfall.http.server import HTTPServer
from tokenfall.reactor.clock import WheelClock

from tests.doubles.clocks import FakeWheel
from tests.doubles.connections import FakeApplication, FakeClient, settle
from tests.unit.http.conftest import Drain

if TYPE_CHECKING:
    from tokenfall.http.response import Send

ASK = b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: no-cache, no-transform\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"
)
BODY = b"2\r\na\n\r\n3\r\nbc\n\r\n4\r\nend\n\r\n0\r\n\r\n"
PING = b"3\r\n:\n\n\r\n"
BIG = b"x" * 1_000

Stream = TimedStream | LiveStream


class Streams:
    """The application's streams: `words`, one a second, then `end`; endless without `end`."""

    def __init__(self, kind: str, wheel: FakeWheel) -> None:
        self.words, self.end = [b"a\n", b"bc\n"], b"end\n"
        self.made = 0
        self.ended = 0
        self._make: Callable[[], Stream] = getattr(self, kind)
        self._wheel = wheel

    def respond(self, request: Request) -> Stream:
        request.response_headers += b"x-request-id: 7\r\n" if request.query_string else b""
        stream = self._make()
        stream.keepalive = b":\n\n"
        stream.ended = self._ended
        if isinstance(stream, TimedStream):
            stream.shutdown_frame = lambda _: b"bye"
        self.made += 1
        return stream

    def paced(self) -> Stream:
        def frames(chunked: bool) -> Iterator[bytes]:
            coded = EncodedFrames([*self.words, self.end]).coded(chunked)
            return iter(coded) if self.end else cycle(coded[:-1])

        return PacedStream(StreamHead("text/plain"), frames, gaps=repeat(1.0))

    def steady(self) -> Stream:
        words, end = EncodedFrames(self.words), EncodedFrames([self.end] if self.end else [])
        count = len(self.words) if self.end else None
        return RepeatedStream(StreamHead("text/plain"), words, end=end, count=count, first_s=1.0, gap_s=1.0)

    def live(self) -> Stream:
        return LiveStream(
            StreamHead("text/plain"),
            self._run,
            failure=lambda error: b"bye" if isinstance(error, ShuttingDown) else b"",
        )

    async def _run(self, send: Send) -> bytes:
        clock = WheelClock(self._wheel)
        for frame in self.words if self.end else cycle(self.words):
            await clock.sleep_until(clock.now() + 1.0)
            full = send(frame)
            if full is not None:
                await full
        await clock.sleep_until(clock.now() + 1.0)
        return self.end

    def _ended(self) -> None:
        self.ended += 1


@pytest.fixture(autouse=True, params=["paced", "steady", "live"])
async def streams(
    request: pytest.FixtureRequest, application: FakeApplication, wheel: FakeWheel
) -> AsyncIterator[Streams]:
    """Asserts after the test, when all clients are closed, that `ended` of each stream was called once."""
    all_streams = Streams(request.param, wheel)
    application.handler = all_streams.respond
    yield all_streams
    assert all_streams.ended == all_streams.made > 0


async def pass_s(wheel: FakeWheel, seconds: int) -> None:
    await settle()
    for _ in range(seconds):
        wheel.advance(1.0)
        await settle()


def body(client: FakeClient) -> bytes:
    return client.read().partition(b"\r\n\r\n")[2]


async def test_pipelined_requests_get_a_stream_each(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    client.send(ASK + ASK)
    await pass_s(wheel, 2)
    assert body(client) == b"2\r\na\n\r\n3\r\nbc\n\r\n"
    assert len(application.requests) == 1
    await pass_s(wheel, 4)

    assert client.read() == (HEAD + BODY) * 2
    assert application.ends == [("/s", 200, "complete", len(BODY))] * 2
    assert not client.is_closed()


async def test_frames_are_sent_at_their_deadlines_and_counted_as_tokens(
    client: FakeClient, wheel: FakeWheel, server: HTTPServer
) -> None:
    client.send(ASK)
    await settle()
    sent = []
    for later_s in (0.75, 0.25, 1.0, 0.75, 0.25):
        wheel.advance(later_s)
        await settle()
        sent.append(body(client))

    assert sent == [b"", BODY[:7], BODY[:15], BODY[:15], BODY]
    metrics = server.metrics
    assert (metrics.tokens, metrics.streams) == (2, 0)  # the last frame is the end frame
    assert (sum(metrics.ttft_s.counts), sum(metrics.inter_token_s.counts)) == (1, 1)
    assert (metrics.ttft_s.total, metrics.inter_token_s.total) == pytest.approx((1.0, 1.0))


async def test_http_1_0_gets_no_chunks_and_its_body_ends_with_the_connection(
    client: FakeClient, wheel: FakeWheel
) -> None:
    client.send(b"GET /s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    await pass_s(wheel, 3)

    assert b"transfer-encoding" not in client.read()
    assert b"\r\nconnection: close\r\n" in client.read()
    assert body(client) == b"a\nbc\nend\n"
    assert client.is_closed()


async def test_head_request_gets_the_head_only(client: FakeClient, application: FakeApplication) -> None:
    client.send(ASK.replace(b"GET", b"HEAD"))
    await settle()

    assert client.read() == HEAD
    assert application.ends == [("/s", 200, "complete", 0)]


async def test_stream_sends_the_response_headers_and_releases_the_request_content(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    client.send(ASK.replace(b"/s", b"/s?secret"))
    await pass_s(wheel, 1)
    (request,) = application.requests

    assert b"\r\nx-request-id: 7\r\n" in client.read()
    assert (request.headers, request.query_string, request.body, request.response_headers) == ({}, b"", b"", b"")


async def test_disconnect_releases_the_stream_and_reports_the_bytes_sent_so_far(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    client.send(ASK)
    await pass_s(wheel, 1)
    assert server.metrics.streams == 1
    client.reset()
    await settle()

    assert (wheel.waiting, server.metrics.streams) == ({}, 0)
    assert application.ends == [("/s", 200, "left", len(b"2\r\na\n\r\n"))]


async def test_closed_client_is_detected_at_the_next_frame(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    client.send(ASK)
    await pass_s(wheel, 1)
    client.close_unnoticed()
    await pass_s(wheel, 1)

    assert client.was_reset()
    assert [(end.status, end.outcome) for end in application.ends] == [(200, "left")]
    assert (wheel.waiting, server.metrics.streams) == ({}, 0)


async def test_client_that_stops_reading_is_reset(
    streams: Streams, client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    streams.words, streams.end = [BIG], b""
    client.send(ASK)
    await pass_s(wheel, 60)

    assert client.was_reset()
    assert application.ends[0].outcome == "stalled"
    assert (server.metrics.stalled_readers, server.metrics.streams, wheel.waiting) == (1, 0, {})


async def test_slow_client_gets_all_frames_in_order(
    streams: Streams, client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    streams.words = [b"%d " % number + BIG for number in range(20)]
    client.send(ASK)
    pauses = 0
    while not application.ends:
        await pass_s(wheel, 1)
        if client.connection.paused:
            assert client.connection.unsent_bytes < 2 * len(BIG)  # at most one frame is buffered for it
            pauses += 1
            client.read()

    assert pauses > 2
    assert body(client) == b"".join(EncodedFrames([*streams.words, streams.end]).chunked) + b"0\r\n\r\n"


async def test_half_close_sends_keepalives_that_detect_a_closed_client_and_the_stream_continues(
    client: FakeClient, wheel: FakeWheel
) -> None:
    client.send(ASK)
    await pass_s(wheel, 1)
    assert client.half_close()
    wheel.advance(max(PROBES_S) + 0.1)
    assert body(client) == b"2\r\na\n\r\n" + PING * (1 + len(PROBES_S))
    await pass_s(wheel, 2)

    assert body(client).replace(PING, b"") == BODY
    assert client.is_closed()


async def test_cut_stream_ends_with_the_shutdown_frame(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, drain: Drain
) -> None:
    client.send(ASK)
    await pass_s(wheel, 1)
    assert (await drain(0.0)).is_set()

    assert body(client) == b"2\r\na\n\r\n3\r\nbye\r\n0\r\n\r\n"
    assert application.ends == [("/s", 200, "cut", len(body(client)))]
    assert client.is_closed()


async def test_paused_stream_is_reset_when_cut(
    streams: Streams, client: FakeClient, application: FakeApplication, wheel: FakeWheel, drain: Drain
) -> None:
    streams.words, streams.end = [BIG], b""
    client.send(ASK)
    await pass_s(wheel, 8)
    assert client.connection.paused
    assert (await drain(0.0)).is_set()

    assert client.was_reset()
    assert application.ends[0].outcome == "cut"
