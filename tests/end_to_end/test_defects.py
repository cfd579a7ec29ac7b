"""An exception in any callback ends only its connection, with 500 if no head was sent, never the process. (E11)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from tokenfall.api.routing import Route
from tokenfall.http.bounds import Bounds
from tokenfall.http.request import Request
from tokenfall.http.response import AnyResponse, LiveStream, PacedStream, Response, StreamHead
from tokenfall.http.server import HTTPServer
from tokenfall.memory.shares import MemoryShares
from tokenfall.metrics.registry import Metrics

from tests.doubles.loops import running_reactor
from tests.end_to_end.client import Client, request
from tests.end_to_end.in_process import eventually, running

if TYPE_CHECKING:
    from tokenfall.http.application import Outcome
    from tokenfall.http.response import Send

pytestmark = pytest.mark.every_poller

SOON_S = 3.0
HEAD = StreamHead("text/event-stream")
SECRET = "the text of an unknown error"

Handler = Callable[[Request], AnyResponse | Coroutine[Any, Any, AnyResponse]]


class Defect(Exception):
    """The exception that the tests raise."""


def raise_defect() -> Any:
    raise Defect(SECRET)


def at_once(request: Request) -> AnyResponse:
    raise Defect(SECRET)


async def later(request: Request) -> AnyResponse:
    await asyncio.sleep(0)
    raise Defect(SECRET)


def live(run: Callable[[Send], Awaitable[bytes]], *, keepalive: bytes = b"") -> LiveStream:
    return LiveStream(HEAD, run, failure=lambda error: b"event: error\ndata: {}\n\n", keepalive=keepalive)


async def nothing_then_defect(send: Send) -> bytes:
    await asyncio.sleep(0)
    raise Defect(SECRET)


async def one_then_defect(send: Send) -> bytes:
    send(b"data: one\n\n")
    await asyncio.sleep(0)
    raise Defect(SECRET)


def paced(frames: Callable[[bool], Iterator[bytes]], gaps: Iterator[float]) -> PacedStream:
    return PacedStream(HEAD, frames, gaps=gaps, keepalive=b": ping\n\n")


def frames_that_break(chunked: bool) -> Iterator[bytes]:
    yield b"3\r\none\r\n"
    yield b"3\r\ntwo\r\n"
    raise_defect()


def gaps_that_break() -> Iterator[float]:
    yield 0.01
    yield 0.01
    raise_defect()


async def awaited(response: Callable[[], AnyResponse]) -> AnyResponse:
    await asyncio.sleep(0)
    return response()


def defect(handler: Handler) -> Route:
    return Route("GET", "/defect", operation="", handler=handler)


@pytest.mark.parametrize(
    "handler",
    [at_once, later, lambda request: live(nothing_then_defect)],
    ids=["at once", "later", "before the first frame"],
)
async def test_failing_handler_is_500_and_the_connection_stays_open(handler: Handler) -> None:
    async with running(defect(handler)) as here:
        async with await Client.connect(here.port) as client:
            response = await client.fetch(request("/defect", X_Request_Id="mine"))
            assert response.status == 500
            assert b'"code":"internal_error"' in response.body
            assert b'"request_id":"mine"' in response.body
            assert SECRET.encode() not in response.body
            assert (await client.fetch(request("/health"))).status == 200
        await here.wait_idle()


async def test_failing_live_stream_ends_with_an_error_event() -> None:
    async with running(defect(lambda request: live(one_then_defect))) as here:
        async with await Client.connect(here.port) as client:
            response = await client.fetch(request("/defect"))
            assert response.body == b"data: one\n\nevent: error\ndata: {}\n\n"
            assert (await client.fetch(request("/health"))).status == 200
        await here.wait_idle()


BROKEN: dict[str, Handler] = {
    "frames of a paced stream": lambda request: paced(frames_that_break, repeat(0.01)),
    "gaps of a paced stream": lambda request: paced(lambda chunked: repeat(b"3\r\none\r\n"), gaps_that_break()),
    "gaps that run out": lambda request: paced(lambda chunked: repeat(b"3\r\none\r\n"), iter((0.01, 0.01))),
    "the making of frames": lambda request: paced(lambda chunked: raise_defect(), repeat(0.01)),
    "the making of frames, later": lambda request: awaited(lambda: paced(lambda chunked: raise_defect(), repeat(0.01))),
    "gaps that run out at once": lambda request: paced(lambda chunked: repeat(b"x"), iter(())),
    "gaps that run out at once, later": lambda request: awaited(lambda: paced(lambda chunked: repeat(b"x"), iter(()))),
    "no response": lambda request: None,  # type: ignore[dict-item, return-value]
    "no response from a coroutine": lambda request: awaited(lambda: None),  # type: ignore[arg-type, return-value]
    "the words for a failure": lambda request: LiveStream(HEAD, one_then_defect, failure=lambda error: raise_defect()),
}


@pytest.mark.parametrize("place", BROKEN)
async def test_failure_after_the_head_closes_only_its_connection(place: str) -> None:
    async with running(defect(BROKEN[place])) as here, await Client.connect(here.port) as other:
        await other.send(request("/stream-sse?gap=10ms&tokens=20"))
        async with await Client.connect(here.port) as client:
            await client.send(request("/defect"))
            try:
                received = await client.read_to_end(within_s=SOON_S)
            except ConnectionError:
                received = b""
            assert received.count(b"HTTP/1.1 ") <= 1, "a second response head was sent in the body"
            assert not received.endswith(b"0\r\n\r\n"), "the broken response has a last chunk"
        assert len((await other.read_response()).body.split(b"\n\n")) == 22
        other.close()
        await here.wait_idle(within_s=SOON_S)


class FailingApplication:
    """An application in which the method named by `breaking` raises."""

    def __init__(self, *, breaking: str) -> None:
        self.breaking = breaking

    def respond(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
        if self.breaking == "respond":
            raise_defect()
        if request.path == "/later":
            return later(request)
        if request.path == "/stream":
            return paced(lambda chunked: iter((b"3\r\none\r\n", b"3\r\ntwo\r\n")), repeat(0.005))
        return Response(200, b"fine")

    def respond_when_loaded(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
        return self.respond(request)

    def needed_for_refusal(self, request: Request) -> None:
        return None

    def refuse(self, request: Request, status: int, *, detail: str) -> Response:
        if self.breaking == "refuse":
            raise_defect()
        return Response(status, b"refused")

    def caller(self, request: Request) -> str:
        return request.client

    def cut(self, request: Request) -> Response:
        return Response(503, b"cut")

    def crashed(self, request: Request, error: Exception) -> Response:
        if self.breaking == "crashed":
            raise_defect()
        return Response(500, b"crashed")

    def ended(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
        if self.breaking == "ended":
            raise_defect()


@asynccontextmanager
async def http_server(application: FailingApplication) -> AsyncIterator[tuple[HTTPServer, int]]:
    """Run an HTTP server with the stub as its application; at the end, check that it released everything."""
    loop = asyncio.get_running_loop()
    reactor = running_reactor()
    metrics = Metrics()
    bounds = Bounds(header_timeout_s=0.25, body_timeout_s=0.25, idle_timeout_s=5.0, linger_timeout_s=0.25)
    server = HTTPServer(
        application, reactor=reactor, bounds=bounds, metrics=metrics, request_memory=MemoryShares(2**26)
    )
    addresses = server.listen("127.0.0.1", 0)
    loop.set_exception_handler(lambda loop, context: None)  # the planted exceptions are reported here
    try:
        yield server, addresses[0][1]
        await eventually(lambda: not server.connections, lambda: server.connections, within_s=SOON_S)
        await eventually(lambda: not reactor.wheel.entries, lambda: "timers leaked", within_s=SOON_S)
    finally:
        application.breaking = ""
        drained = asyncio.Event()
        server.drain(0.1, drained.set)
        await drained.wait()


@pytest.mark.parametrize("method", ["respond", "refuse", "crashed", "ended"])
async def test_failing_application_method_closes_only_its_connection(method: str) -> None:
    application = FailingApplication(breaking="")
    async with http_server(application) as (server, port):
        for data in (request("/"), request("/later"), request("/stream"), b"nonsense\r\n\r\n", b"GET"):
            application.breaking = method
            async with await Client.connect(port) as client:
                await client.send(data)
                if data != b"GET":
                    client.half_close()
                await client.wait_closed(within_s=SOON_S)
            application.breaking = ""
            async with await Client.connect(port) as client:
                assert (await client.fetch(request("/"))).body == b"fine"
        assert not server.draining


async def test_heartbeats_are_sent_only_before_the_first_frame() -> None:
    """Uses `edge` because the heartbeat interval is no setting."""
    tokens: asyncio.Queue[bytes] = asyncio.Queue()

    async def run(send: Send) -> bytes:
        while (frame := await tokens.get()) != b"end":
            send(frame)
        return b""

    class LiveApplication(FailingApplication):
        def respond(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
            return live(run, keepalive=b": ping\n\n")

    application = LiveApplication(breaking="")
    async with http_server(application) as (server, port):
        object.__setattr__(server, "bounds", Bounds(heartbeat_s=0.05))
        async with await Client.connect(port) as client:
            await client.send(request("/"))
            head = await client.head()
            assert head.status == 200
            assert [await client.chunk() for _ in range(3)] == [b": ping\n\n"] * 3
            tokens.put_nowait(b"data: one\n\n")
            while (chunk := await client.chunk()) == b": ping\n\n":
                pass
            assert chunk == b"data: one\n\n"
            with pytest.raises(TimeoutError):
                await client.receive(within_s=0.3)
            tokens.put_nowait(b"end")
            assert await client.chunk() == b""
