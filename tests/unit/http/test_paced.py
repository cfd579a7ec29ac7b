from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from itertools import cycle, repeat
from typing import TYPE_CHECKING, Literal

import pytest

from tokenfall.disconnect import Disconnect
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


async def test_stream_without_frames_ends_after_its_gap(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel
) -> None:
    application.handler = lambda _: stream(EncodedFrames([]))
    client.send(ASK)
    assert client.read() == HEAD
    wheel.advance(1.0)

    assert body(client) == b"0\r\n\r\n"


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


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_disconnect_follows_the_frames_without_the_end_of_the_body(
    client: FakeClient,
    application: FakeApplication,
    wheel: FakeWheel,
    server: HTTPServer,
    how: Literal["reset", "close"],
) -> None:
    gated = GatedStream(application, b"1", Disconnect(how), b"2")
    client.send(ASK)
    wheel.advance(5.0)

    assert body(client) == b"1"
    assert client.is_closed()
    assert client.was_reset() is (how == "reset")
    assert (application.ends[0].outcome, gated.ended, server.metrics.streams) == ("failed", 1, 0)


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_disconnect_may_replace_a_response(
    client: FakeClient, application: FakeApplication, how: Literal["reset", "close"]
) -> None:
    application.handler = lambda _: Disconnect(how)
    client.send(ASK)

    assert client.read() == b""
    assert client.is_closed()
    assert client.was_reset() is (how == "reset")
