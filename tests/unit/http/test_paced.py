from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from itertools import cycle, repeat
from typing import TYPE_CHECKING

import pytest

from tokenfall.disconnect import Disconnect
from tokenfall.http.half_closed import PROBES_S
from tokenfall.http.request import Request
from tokenfall.http.response import EncodedFrames, PacedStream, StreamHead
from tokenfall.http.server import HTTPServer
from tokenfall.simulator.gates import TestGate

from tests.doubles.clocks import FakeWheel
from tests.doubles.connections import FakeApplication, FakeClient, settle
from tests.unit.http.conftest import BOUNDS, Connect, Drain

if TYPE_CHECKING:
    from tokenfall.http.response import Item

ASK = b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: no-cache, no-transform\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"
)
ABC = EncodedFrames([b"a\n", b"b\n", b"c\n"])
BIG = b"x" * 1_000


def stream(
    frames: EncodedFrames = ABC, *, gap_s: float = 1.0, endless: bool = False, keepalive: bytes = b""
) -> PacedStream:
    def coded(chunked: bool) -> Iterator[bytes]:
        return cycle(frames.coded(chunked)) if endless else iter(frames.coded(chunked))

    paced = PacedStream(StreamHead("text/plain"), coded, gaps=repeat(gap_s), endless=endless, keepalive=keepalive)
    paced.shutdown_frame = lambda next_frame: b"not " + next_frame
    return paced


@pytest.fixture(autouse=True)
def _three_letters(application: FakeApplication) -> None:
    application.handler = lambda _: stream()


def body(client: FakeClient) -> bytes:
    return client.read().partition(b"\r\n\r\n")[2]


async def test_head_is_sent_at_once_and_frames_at_their_deadlines(client: FakeClient, wheel: FakeWheel) -> None:
    client.send(ASK)
    assert client.read() == HEAD
    wheel.advance(0.9)
    assert body(client) == b""
    wheel.advance(0.2)
    assert body(client) == b"2\r\na\n\r\n"
    wheel.advance(1.0)
    assert body(client) == b"2\r\na\n\r\n2\r\nb\n\r\n"
    wheel.advance(1.0)
    assert body(client) == b"2\r\na\n\r\n2\r\nb\n\r\n2\r\nc\n\r\n0\r\n\r\n"


async def test_connection_stays_open_after_the_stream(
    client: FakeClient, wheel: FakeWheel, application: FakeApplication
) -> None:
    for _ in range(2):
        client.send(ASK)
        await settle()
        wheel.advance(3.0)

    assert client.read().count(b"0\r\n\r\n") == 2
    assert [(end.status, end.outcome) for end in application.ends] == [(200, "complete")] * 2
    assert application.ends[0].sent_bytes == len(b"2\r\na\n\r\n" * 3 + b"0\r\n\r\n")


async def test_http_1_0_gets_no_chunks_and_its_body_ends_with_the_connection(
    client: FakeClient, wheel: FakeWheel
) -> None:
    client.send(b"GET /s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    wheel.advance(3.0)

    assert b"transfer-encoding" not in client.read()
    assert b"\r\nconnection: close\r\n" in client.read()
    assert body(client) == b"a\nb\nc\n"
    assert client.is_closed()


async def test_head_request_gets_the_head_only(client: FakeClient, application: FakeApplication) -> None:
    client.send(b"HEAD /s HTTP/1.1\r\nHost: a\r\n\r\n")

    assert client.read() == HEAD
    assert application.ends == [("/s", 200, "complete", 0)]


async def test_stream_without_frames_ends_after_its_gap(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    application.handler = lambda _: stream(EncodedFrames([]))
    client.send(ASK)
    assert client.read() == HEAD
    wheel.advance(1.0)

    assert body(client) == b"0\r\n\r\n"


async def test_tokens_and_latencies_are_counted(client: FakeClient, wheel: FakeWheel, server: HTTPServer) -> None:
    client.send(ASK)
    wheel.advance(1.0)
    assert server.metrics.streams == 1
    wheel.advance(2.0)

    assert (server.metrics.tokens, server.metrics.streams) == (2, 0)  # the last frame is the end frame
    assert sum(server.metrics.ttft_s.counts) == 1
    assert server.metrics.ttft_s.total == pytest.approx(1.0)
    assert sum(server.metrics.inter_token_s.counts) == 1
    assert server.metrics.inter_token_s.total == pytest.approx(1.0)


async def test_last_frame_that_is_a_token_is_counted(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    paced = stream()
    paced.ends_in_token = True
    application.handler = lambda _: paced
    client.send(ASK)
    wheel.advance(3.0)

    assert (server.metrics.tokens, sum(server.metrics.inter_token_s.counts)) == (3, 2)
    assert server.metrics.inter_token_s.total == pytest.approx(2.0)


async def test_late_frame_does_not_delay_the_next(client: FakeClient, wheel: FakeWheel) -> None:
    client.send(ASK)
    wheel.now_s += 1.7  # the loop was busy: the first frame is 0.7 s late
    wheel.advance(0.0)
    assert body(client).count(b"\n\r") == 1
    wheel.advance(0.3)

    assert body(client).count(b"\n\r") == 2


async def test_stream_releases_the_request_content(client: FakeClient, application: FakeApplication) -> None:
    def handler(request: Request) -> PacedStream:
        request.response_headers += b"x-request-id: 7\r\n"
        return stream()

    application.handler = handler
    client.send(ASK.replace(b"/s", b"/s?secret"))
    (request,) = application.requests

    assert b"\r\nx-request-id: 7\r\n" in client.read()
    assert (request.headers, request.query_string, request.body, request.response_headers) == ({}, b"", b"", b"")


async def test_disconnect_releases_the_stream(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    client.send(ASK)
    wheel.advance(1.0)
    client.reset()

    assert (wheel.waiting, server.metrics.streams) == ({}, 0)
    assert application.ends == [("/s", 200, "left", len(b"2\r\na\n\r\n"))]


async def test_closed_client_is_detected_at_the_next_frame(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    client.send(ASK)
    client.close_unnoticed()
    wheel.advance(1.0)

    assert client.was_reset()
    assert [(end.status, end.outcome) for end in application.ends] == [(200, "left")]
    assert (wheel.waiting, server.metrics.streams) == ({}, 0)


async def test_stream_may_be_returned_by_a_coroutine(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    async def later() -> PacedStream:
        return stream()

    application.handler = lambda _: later()
    client.send(ASK)
    await settle()
    wheel.advance(3.0)

    assert body(client).endswith(b"0\r\n\r\n")


async def test_gaps_are_kept_if_the_stream_starts_late(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    planned = asyncio.Event()

    async def later() -> PacedStream:
        await planned.wait()
        return stream()

    application.handler = lambda _: later()
    client.send(ASK)
    wheel.advance(5.5)
    planned.set()
    await settle()
    wheel.advance(0.0)
    assert body(client) == b"2\r\na\n\r\n"
    wheel.advance(0.9)
    assert body(client) == b"2\r\na\n\r\n"
    wheel.advance(0.2)

    assert body(client) == b"2\r\na\n\r\n2\r\nb\n\r\n"


async def test_slow_client_pauses_only_its_own_stream(
    connect: Connect, application: FakeApplication, wheel: FakeWheel
) -> None:
    application.handler = lambda _: stream(EncodedFrames([BIG] * 12))
    slow, other = connect(), connect()
    slow.send(ASK)
    other.send(ASK)
    for _ in range(12):
        wheel.advance(1.0)
        other.read()

    assert body(other).endswith(b"0\r\n\r\n")
    assert slow.connection.paused
    assert slow.connection.unsent_bytes < 2 * len(BIG)  # at most one frame is buffered for it
    for _ in range(30):
        slow.read()
        wheel.advance(1.0)
    assert body(slow) == body(other)


async def test_client_that_stops_reading_is_reset(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    application.handler = lambda _: stream(EncodedFrames([BIG]), endless=True)
    client.send(ASK)
    wheel.advance(60.0)

    assert client.was_reset()
    assert application.ends[0].outcome == "stalled"
    assert (server.metrics.stalled_readers, server.metrics.streams, wheel.waiting) == (1, 0, {})


async def test_half_closed_client_gets_a_finite_stream_to_its_end(client: FakeClient, wheel: FakeWheel) -> None:
    client.send(ASK)
    wheel.advance(1.0)
    assert client.half_close()
    wheel.advance(2.0)

    assert body(client) == b"2\r\na\n\r\n2\r\nb\n\r\n2\r\nc\n\r\n0\r\n\r\n"
    assert client.is_closed()


async def test_half_close_sends_keepalives_that_detect_a_closed_client(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    application.handler = lambda _: stream(gap_s=10.0, keepalive=b": ping\n\n")
    client.send(ASK)
    client.half_close()
    assert body(client) == b"8\r\n: ping\n\n\r\n"
    wheel.advance(max(PROBES_S) + 0.1)

    assert body(client) == b"8\r\n: ping\n\n\r\n" * (1 + len(PROBES_S))
    wheel.advance(9.0)
    assert b": ping" not in body(client).removeprefix(b"8\r\n: ping\n\n\r\n" * (1 + len(PROBES_S)))


async def test_half_close_stops_an_endless_stream_soon(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    application.handler = lambda _: stream(endless=True, gap_s=0.01)
    client.send(ASK)
    wheel.advance(1.0)
    assert client.half_close()
    wheel.advance(BOUNDS.half_close_grace_s + 0.3)

    assert client.was_reset()
    assert application.ends[0].outcome == "left"


async def test_cut_stream_ends_with_the_shutdown_frame(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, drain: Drain
) -> None:
    client.send(ASK)
    wheel.advance(1.0)
    assert (await drain(0.0)).is_set()

    assert body(client) == b"2\r\na\n\r\nb\r\nnot 2\r\nb\n\r\n\r\n0\r\n\r\n"
    assert client.is_closed()
    assert application.ends[0].outcome == "cut"


async def test_cut_stream_whose_next_frame_fails_is_reset(
    client: FakeClient,
    application: FakeApplication,
    wheel: FakeWheel,
    drain: Drain,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> Iterator[Item]:
        yield b"a"
        yield TestGate()
        raise ZeroDivisionError

    application.handler = lambda _: PacedStream(StreamHead("text/plain"), lambda _: broken(), gaps=repeat(1.0))
    client.send(ASK)
    wheel.advance(1.0)
    with caplog.at_level(logging.ERROR):
        assert (await drain(0.0)).is_set()

    assert client.was_reset()
    assert application.ends[0].outcome == "failed"
    assert [record.message for record in caplog.records] == ["encoding the shutdown frame of a stream failed"]


async def test_paused_stream_is_reset_when_cut(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, drain: Drain
) -> None:
    application.handler = lambda _: stream(EncodedFrames([BIG]), endless=True)
    client.send(ASK)
    wheel.advance(8.0)
    assert client.connection.paused
    assert (await drain(0.0)).is_set()

    assert client.was_reset()
    assert application.ends[0].outcome == "cut"


async def test_pipelined_request_is_answered_after_the_stream(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    client.send(ASK + ASK)
    wheel.advance(3.0)
    assert len(application.requests) == 1
    await settle()
    wheel.advance(3.0)

    assert client.read().count(b"0\r\n\r\n") == 2


async def test_exception_in_the_frames_iterator_resets_the_connection(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(chunked: bool) -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        raise ZeroDivisionError

    application.handler = lambda _: PacedStream(StreamHead("text/plain"), broken, gaps=repeat(1.0))
    client.send(ASK)
    with caplog.at_level(logging.ERROR):
        wheel.advance(5.0)

    assert client.was_reset()
    assert application.ends[0].outcome == "failed"
    assert len(caplog.records) == 1


# Waits at gates, and disconnect faults


class GatedStream:
    """A stream of these items with a gap of 1 s that counts the calls of its `ended` callback."""

    def __init__(self, application: FakeApplication, *items: Item) -> None:
        self.ended = 0
        application.handler = lambda _: self._stream(items)

    def _stream(self, items: tuple[Item, ...]) -> PacedStream:
        paced = PacedStream(StreamHead("text/plain"), lambda _: iter(items), gaps=repeat(1.0))
        paced.shutdown_frame = lambda next_frame: b"not " + next_frame
        paced.ended = self._end
        return paced

    def _end(self) -> None:
        self.ended += 1


async def test_stream_waits_at_a_closed_gate_and_continues_when_it_opens(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    gate = TestGate()
    gated = GatedStream(application, b"1", gate, b"2")
    client.send(ASK)
    wheel.advance(60.0)
    assert (body(client), gate.waiting, wheel.waiting) == (b"1", 1, {})
    gate.open()
    wheel.advance(0.9)
    assert body(client) == b"1"  # its gap starts here
    wheel.advance(0.2)

    assert body(client) == b"120\r\n\r\n"
    assert gated.ended == 1


async def test_stream_keeps_waiting_if_the_gate_closed_again(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    gate = TestGate()
    GatedStream(application, gate, b"1")
    client.send(ASK)
    wheel.advance(1.0)
    gate.open()
    gate.close()
    wheel.advance(5.0)

    assert (body(client), gate.waiting) == (b"", 1)


@pytest.mark.parametrize("woken", [False, True])
async def test_client_that_disconnects_at_a_gate_leaves_its_queue(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, woken: bool
) -> None:
    gate = TestGate()
    gated = GatedStream(application, gate, b"1")
    client.send(ASK)
    wheel.advance(1.0)
    assert gate.waiting == 1
    if woken:
        gate.allow(1)
    client.reset()

    assert (gate.waiting, gate.allowed, gated.ended, wheel.waiting) == (0, int(woken), 1, {})


async def test_drain_cuts_a_stream_at_a_gate(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, drain: Drain
) -> None:
    gate = TestGate()
    gated = GatedStream(application, gate, b"1")
    client.send(ASK)
    wheel.advance(1.0)
    assert (await drain(0.0)).is_set()

    assert body(client) == b"5\r\nnot 1\r\n0\r\n\r\n"
    assert (gate.waiting, gated.ended) == (0, 1)


@pytest.mark.parametrize("opened_first", [True, False])
async def test_stream_continues_after_both_gate_and_slow_client(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, opened_first: bool
) -> None:
    gate = TestGate()
    GatedStream(application, BIG * 6, gate, b"2")
    client.send(ASK)
    wheel.advance(1.0)
    assert client.connection.paused
    if opened_first:
        gate.open()
        wheel.advance(3.0)
    client.read()
    wheel.advance(3.0)
    if not opened_first:
        assert gate.waiting == 1
        gate.open()
    wheel.advance(3.0)

    assert body(client) == BIG * 6 + b"20\r\n\r\n"


async def test_disconnect_reset_sends_rst_after_the_frames(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    gated = GatedStream(application, b"1", Disconnect("reset"), b"2")
    client.send(ASK)
    wheel.advance(5.0)

    assert body(client) == b"1"
    assert client.was_reset()
    assert (application.ends[0].outcome, gated.ended, server.metrics.streams) == ("failed", 1, 0)


async def test_disconnect_close_sends_fin_without_the_end_of_the_body(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    gated = GatedStream(application, b"1", Disconnect("close"), b"2")
    client.send(ASK)
    wheel.advance(5.0)

    assert body(client) == b"1"
    assert client.is_closed()
    assert not client.was_reset()
    assert (application.ends[0].outcome, gated.ended, server.metrics.streams) == ("failed", 1, 0)


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_disconnect_may_replace_a_response(client: FakeClient, application: FakeApplication, how: str) -> None:
    application.handler = lambda _: Disconnect(how)  # type: ignore[arg-type]
    client.send(ASK)

    assert client.read() == b""
    assert client.is_closed()
    assert client.was_reset() is (how == "reset")


async def test_head_request_ends_its_stream_at_once(client: FakeClient, application: FakeApplication) -> None:
    gated = GatedStream(application, b"1")
    client.send(b"HEAD /s HTTP/1.1\r\nHost: a\r\n\r\n")

    assert gated.ended == 1
