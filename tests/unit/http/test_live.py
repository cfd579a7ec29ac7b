from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, PacedStream, Response, StreamHead
from tokenfall.http.server import HTTPServer

from tests.doubles.clocks import FakeWheel
from tests.doubles.connections import FakeApplication, FakeClient, settle
from tests.unit.http.conftest import BOUNDS, Drain

if TYPE_CHECKING:
    from tokenfall.http.response import Send

ASK = b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: no-cache, no-transform\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"
)
PING = b"3\r\n:\n\n\r\n"
BIG = b"x" * 1_000


class Script:
    """The steps of a live stream; each runs when the test adds it."""

    def __init__(self) -> None:
        self.steps: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.waits: list[Awaitable[None] | None] = []
        self.cancelled = False

    def add(self, *steps: bytes | Exception) -> None:
        for step in steps:
            self.steps.put_nowait(step)

    async def run(self, send: Send) -> bytes:
        """Send each step; the step after `b""` is the last frame."""
        try:
            while frame := await self._next():
                full = send(frame)
                self.waits.append(full)
                if full is not None:
                    await full
            return await self._next()
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def _next(self) -> bytes:
        step = await self.steps.get()
        if isinstance(step, Exception):
            raise step
        return step


def failure(error: Exception) -> bytes:
    return b"failed: " + type(error).__name__.encode()


def stream(
    run: Callable[[Send], Awaitable[bytes]],
    *,
    keepalive: bytes = b":\n\n",
    on_disconnect: Callable[[], bool] | None = None,
) -> LiveStream:
    return LiveStream(
        StreamHead("text/plain"),
        run,
        failure=failure,
        on_disconnect=on_disconnect,
        keepalive=keepalive,
    )


@pytest.fixture
async def script(application: FakeApplication) -> Script:
    new_script = Script()
    application.handler = lambda _: stream(new_script.run)
    return new_script


def body(client: FakeClient) -> bytes:
    return client.read().partition(b"\r\n\r\n")[2]


# Awaited complete responses


async def test_exception_becomes_the_applications_error_response(
    client: FakeClient, application: FakeApplication
) -> None:
    async def later() -> Response:
        raise ZeroDivisionError("secret")

    application.handler = lambda _: later()
    client.send(ASK)
    await settle()

    assert client.read().startswith(b"HTTP/1.1 500 ")
    assert body(client) == b"crashed: ZeroDivisionError"


async def test_response_that_fails_to_start_resets_the_connection(
    client: FakeClient, application: FakeApplication, caplog: pytest.LogCaptureFixture
) -> None:
    async def later() -> Response:
        return PacedStream(StreamHead("text/plain"), defective, gaps=iter(()))  # type: ignore[return-value]

    def defective(chunked: bool) -> Iterator[bytes]:
        raise ZeroDivisionError

    application.handler = lambda _: later()
    client.send(ASK)
    with caplog.at_level(logging.ERROR):
        await settle()

    assert client.was_reset()
    assert len(caplog.records) == 1


# Streams


async def test_head_is_written_with_the_first_frame_and_end_with_the_last(
    client: FakeClient, application: FakeApplication, script: Script
) -> None:
    client.send(ASK)
    await settle()
    assert client.read() == b""
    script.add(b"a")
    await settle()
    assert client.read() == HEAD + b"1\r\na\r\n"
    script.add(b"b", b"", b"end")
    await settle()

    assert client.read() == HEAD + b"1\r\na\r\n1\r\nb\r\n3\r\nend\r\n0\r\n\r\n"
    assert application.ends == [("/s", 200, "complete", len(b"1\r\na\r\n1\r\nb\r\n3\r\nend\r\n0\r\n\r\n"))]
    assert not client.is_closed()


async def test_frames_of_one_turn_after_the_first_token_are_one_write(
    client: FakeClient, application: FakeApplication
) -> None:
    step = asyncio.Event()

    async def run(send: Send) -> bytes:
        for frame in (b"first", b"a", b"b"):
            send(frame)
        await step.wait()
        send(b"c")
        return b"end"

    application.handler = lambda _: stream(run)
    client.send(ASK)
    await settle()
    step.set()
    await settle()

    first, second, third = client.connection.sends
    assert first.endswith(b"\r\n\r\n5\r\nfirst\r\n")
    assert second == b"1\r\na\r\n1\r\nb\r\n"
    assert third == b"1\r\nc\r\n3\r\nend\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("frames", "sends_after_each"),
    [([BIG] * 5, [1, 1, 1, 1, 2]), ([b"x" * 4_097], [2])],  # 4 KiB is the buffer of these tests
    ids=["several frames", "one frame"],
)
async def test_more_than_the_send_buffer_is_written_before_the_end_of_the_turn(
    client: FakeClient, application: FakeApplication, frames: list[bytes], sends_after_each: list[int]
) -> None:
    sends: list[int] = []

    async def run(send: Send) -> bytes:
        send(b"first")
        for frame in frames:
            send(frame)
            sends.append(len(client.connection.sends))
        return b"end"

    application.handler = lambda _: stream(run)
    client.send(ASK)
    await settle()

    assert sends == sends_after_each


async def test_frame_that_is_not_a_token_is_neither_counted_nor_timed(
    client: FakeClient, application: FakeApplication, wheel: FakeWheel, server: HTTPServer
) -> None:
    step = asyncio.Event()

    async def run(send: Send) -> bytes:
        send(b"role", is_token=False)
        await step.wait()
        send(b"a")
        send(b"usage", is_token=False)
        return b"end"

    application.handler = lambda _: stream(run)
    client.send(ASK)
    await settle()
    assert body(client) == b"4\r\nrole\r\n"
    wheel.advance(2.0)
    step.set()
    await settle()

    assert body(client).endswith(b"1\r\na\r\n5\r\nusage\r\n3\r\nend\r\n0\r\n\r\n")
    assert (server.metrics.tokens, sum(server.metrics.inter_token_s.counts)) == (1, 0)
    assert server.metrics.ttft_s.total == pytest.approx(2.0)


@pytest.mark.parametrize("disconnects", [False, True])
async def test_uncounted_stream_is_not_in_the_metrics(
    client: FakeClient, application: FakeApplication, script: Script, server: HTTPServer, disconnects: bool
) -> None:
    live = stream(script.run)
    live.counted = False
    application.handler = lambda _: live
    client.send(ASK)
    script.add(b"a", b"b")
    await settle()
    if disconnects:
        client.reset()
    script.add(b"", b"c")
    await settle()

    metrics = server.metrics
    assert body(client).endswith(b"1\r\nb\r\n" if disconnects else b"1\r\nc\r\n0\r\n\r\n")
    assert script.cancelled is disconnects
    assert (metrics.tokens, metrics.streams, metrics.streams_ended) == (0, 0, {})
    assert sum(metrics.ttft_s.counts) + sum(metrics.inter_token_s.counts) == 0


# Head before the first token


async def test_announced_stream_starts_at_once_and_continues_normally(
    client: FakeClient, application: FakeApplication, script: Script, wheel: FakeWheel
) -> None:
    live = stream(script.run)
    live.announced = True
    application.handler = lambda _: live
    client.send(ASK)
    await settle()

    assert client.read() == HEAD + PING
    wheel.advance(BOUNDS.heartbeat_s)
    script.add(b"a", b"", b"b")
    await settle()
    assert body(client) == PING + PING + b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


# Failures: an error status before the first byte, an error frame after it


async def test_failure_before_the_first_byte_is_an_error_response(
    client: FakeClient, application: FakeApplication, script: Script
) -> None:
    client.send(ASK)
    script.add(ZeroDivisionError())
    await settle()

    assert client.read().startswith(b"HTTP/1.1 500 ")
    assert body(client) == b"crashed: ZeroDivisionError"
    assert [(end.status, end.outcome) for end in application.ends] == [(500, "complete")]


async def test_failure_before_the_first_byte_keeps_reply_headers(
    client: FakeClient, application: FakeApplication, script: Script
) -> None:
    def handler(request: Request) -> LiveStream:
        request.response_headers += b"x-request-id: 7\r\n"
        return stream(script.run)

    application.handler = handler
    client.send(ASK)
    script.add(ZeroDivisionError())
    await settle()

    assert b"\r\nx-request-id: 7\r\n" in client.read()


@pytest.mark.parametrize(
    ("before", "sent"),
    [("token", b"1\r\na\r\n"), ("announcement", PING), ("keepalive", PING)],
)
async def test_failure_after_the_first_byte_is_the_last_frame(
    client: FakeClient, application: FakeApplication, script: Script, wheel: FakeWheel, before: str, sent: bytes
) -> None:
    live = stream(script.run)
    live.announced = before == "announcement"
    application.handler = lambda _: live
    client.send(ASK)
    await settle()
    if before == "token":
        script.add(b"a")
    elif before == "keepalive":
        wheel.advance(BOUNDS.heartbeat_s)
    script.add(ZeroDivisionError())
    await settle()

    assert body(client) == sent + b"19\r\nfailed: ZeroDivisionError\r\n0\r\n\r\n"
    assert [(end.status, end.outcome) for end in application.ends] == [(200, "failed")]


# Keepalives


async def test_keepalives_are_sent_until_the_first_frame(client: FakeClient, script: Script, wheel: FakeWheel) -> None:
    client.send(ASK)
    await settle()
    wheel.advance(BOUNDS.heartbeat_s - 0.1)
    assert client.read() == b""
    wheel.advance(0.2)
    await settle()
    assert client.read() == HEAD + PING
    for _ in range(2):
        wheel.advance(BOUNDS.heartbeat_s)
        await settle()
    assert body(client) == PING * 3
    script.add(b"a")
    await settle()
    wheel.advance(10 * BOUNDS.heartbeat_s)

    assert body(client) == PING * 3 + b"1\r\na\r\n"


async def test_format_without_keepalive_sends_none(
    client: FakeClient, application: FakeApplication, script: Script, wheel: FakeWheel
) -> None:
    application.handler = lambda _: stream(script.run, keepalive=b"")
    client.send(ASK)
    await settle()
    wheel.advance(10 * BOUNDS.heartbeat_s)

    assert client.read() == b""


# Disconnects and slow clients


async def test_disconnect_before_the_first_frame_cancels_the_run(
    client: FakeClient, application: FakeApplication, script: Script
) -> None:
    client.send(ASK)
    await settle()
    client.reset()
    await settle()

    assert script.cancelled
    assert application.ends == [("/s", 499, "left", 0)]


async def test_frames_sent_without_awaiting_are_all_delivered_to_a_slow_client(
    client: FakeClient, application: FakeApplication
) -> None:
    async def send_without_waiting(send: Send) -> bytes:
        for _ in range(12):
            send(BIG)  # like the last events of an upstream, received in one read
        return b"end"

    application.handler = lambda _: stream(send_without_waiting)
    client.send(ASK)
    await settle()
    assert not client.was_reset()
    for _ in range(12):
        client.read()
        await settle()

    assert body(client).count(b"x") == 12_000
    assert body(client).endswith(b"3\r\nend\r\n0\r\n\r\n")
    assert application.ends[0].outcome == "complete"


async def test_half_close_waits_for_the_first_frame_if_the_format_has_keepalives(
    client: FakeClient, script: Script
) -> None:
    client.send(ASK)
    await settle()
    assert client.half_close()
    assert client.read().startswith(b"HTTP/1.1 200 OK")
    assert body(client) == PING
    script.add(b"a", b"", b"end")
    await settle()

    assert body(client).endswith(b"1\r\na\r\n3\r\nend\r\n0\r\n\r\n")


async def test_half_close_before_the_stream_starts_is_remembered(
    client: FakeClient, application: FakeApplication, script: Script
) -> None:
    ready = asyncio.Event()

    async def later() -> LiveStream:
        await ready.wait()
        return stream(script.run)

    application.handler = lambda _: later()
    client.send(ASK)
    await settle()
    assert client.half_close()
    ready.set()
    await settle()

    assert body(client) == PING


async def test_half_close_stops_a_stream_without_keepalives_soon(
    client: FakeClient, application: FakeApplication, script: Script, wheel: FakeWheel
) -> None:
    application.handler = lambda _: stream(script.run, keepalive=b"")
    client.send(ASK)
    await settle()
    client.half_close()
    wheel.advance(BOUNDS.half_close_grace_s + 0.1)
    await settle()

    assert script.cancelled


# Drain


async def test_cut_before_the_first_byte_becomes_an_error_status(
    client: FakeClient, application: FakeApplication, script: Script, drain: Drain
) -> None:
    client.send(ASK)
    await settle()
    assert (await drain(0.0)).is_set()

    assert client.read().startswith(b"HTTP/1.1 503 ")
    assert script.cancelled
    assert application.ends[0].status == 503


async def test_cut_before_the_task_starts_becomes_an_error_status(
    client: FakeClient, application: FakeApplication, server: HTTPServer
) -> None:
    async def later() -> Response:
        return Response(200)

    application.handler = lambda _: later()
    client.send(ASK)
    client.connection.cut()
    await settle()

    assert client.read().startswith(b"HTTP/1.1 503 ")
    assert client.read().count(b"HTTP/1.1") == 1


# Detached streams


@pytest.fixture
async def detachable(application: FakeApplication) -> Script:
    """The script of a stream that continues after a disconnect."""
    live = Script()
    application.handler = lambda _: stream(live.run, on_disconnect=lambda: True)
    return live


async def test_detached_stream_runs_to_its_end_without_sending(
    client: FakeClient, application: FakeApplication, detachable: Script, wheel: FakeWheel, server: HTTPServer
) -> None:
    client.send(ASK)
    detachable.add(b"a")
    await settle()
    client.reset()
    await settle()
    assert not detachable.cancelled
    assert (server.metrics.streams, wheel.waiting) == (0, {}), "the stream has ended for the HTTP server"
    detachable.add(b"b", b"", b"end")
    await settle()

    assert detachable.waits == [None, None]
    assert detachable.steps.empty()
    assert application.ends == [("/s", 200, "left", len(b"1\r\na\r\n"))]
    assert server.metrics.tokens == 1, "unsent tokens are not counted"
    assert server.metrics.streams == 0


async def test_stream_may_detach_before_its_first_frame(
    client: FakeClient, application: FakeApplication, detachable: Script, server: HTTPServer
) -> None:
    client.send(ASK)
    await settle()
    client.reset()
    detachable.add(b"a", ZeroDivisionError())
    await settle()

    assert detachable.steps.empty()
    assert application.ends == [("/s", 499, "left", 0)]
    assert server.metrics.streams == 0


async def test_disconnect_ends_the_wait_for_a_slow_client(
    client: FakeClient, application: FakeApplication, detachable: Script
) -> None:
    client.send(ASK)
    detachable.add(*[BIG] * 12, b"", b"end")
    await settle()
    assert client.connection.paused
    client.reset()
    await settle()

    assert len(detachable.waits) == 12
    assert detachable.steps.empty()


async def test_stream_detaches_if_a_write_fails_after_a_disconnect(
    client: FakeClient, application: FakeApplication, detachable: Script, server: HTTPServer
) -> None:
    client.send(ASK)
    detachable.add(b"a")
    await settle()
    client.close_unnoticed()
    detachable.add(b"b", b"c", b"", b"end")
    await settle()

    assert detachable.waits == [None, None, None]
    assert [end.outcome for end in application.ends] == ["left"]
    assert server.metrics.streams == 0


async def test_stream_is_cancelled_if_on_disconnect_returns_false(
    client: FakeClient, application: FakeApplication, script: Script, server: HTTPServer
) -> None:
    application.handler = lambda _: stream(script.run, on_disconnect=lambda: False)
    client.send(ASK)
    script.add(b"a")
    await settle()
    client.reset()
    await settle()

    assert script.cancelled
    assert server.metrics.streams == 0


async def test_drain_cuts_a_stream_that_could_detach(client: FakeClient, detachable: Script) -> None:
    client.send(ASK)
    detachable.add(b"a")
    await settle()
    client.connection.cut()
    await settle()

    assert detachable.cancelled
    assert body(client).endswith(b"14\r\nfailed: ShuttingDown\r\n0\r\n\r\n")
