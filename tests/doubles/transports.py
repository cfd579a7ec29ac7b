"""A connection without a network: a transport over a pipe, a client that reads when the test does, an application."""

import asyncio
import fcntl
import os
import re
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, cast

from tokenfall.edge.application import Outcome
from tokenfall.edge.connection import Connection
from tokenfall.edge.request import Request
from tokenfall.edge.response import Answer, Response
from tokenfall.edge.server import Edge
from tokenfall.ports import Timed

from tests.doubles.clocks import FakeWheel

PIPE_BYTES = 4_096
"""How much is taken before the client has to read: one page, the least that a pipe holds."""


class FakeSocket:
    """What a connection asks of its socket: a descriptor to write to, and to be reset."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.options: list[tuple[int, int, bytes]] = []

    def fileno(self) -> int:
        return self._descriptor

    def setsockopt(self, level: int, name: int, value: bytes) -> None:
        self.options.append((level, name, value))


class FakeTransport(asyncio.Transport):
    """Writes to a pipe, keeps what does not fit and pauses its protocol, as a selector's transport does."""

    def __init__(self, protocol: asyncio.Protocol, peer: str) -> None:
        super().__init__()
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK)
        fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.socket = FakeSocket(self._writer)
        self._reading = True
        self.eof_written = False
        self.aborted = False
        self.lost = False
        self._protocol = protocol
        self._peer = peer
        self._unsent = b""
        self._closing = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": (self._peer, 40_000), "socket": self.socket}.get(name, default)

    def is_closing(self) -> bool:
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0, "whatever is left unsent must be told"

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.lost, "written to after the connection was lost"
        before = self._unsent
        self._unsent += bytes(data)
        if not before:
            self._flush()
            if self._unsent:
                self._protocol.pause_writing()

    def write_eof(self) -> None:
        self.eof_written = True

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._unsent:
                asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self.aborted = True
        self._unsent = b""
        self._closing = True
        asyncio.get_running_loop().call_soon(self.lose)

    def lose(self) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = True
            self._protocol.connection_lost(None)

    def taken(self) -> None:
        """The client has read: send what did not fit."""
        if self._unsent:
            self._flush()
            if not self._unsent:
                if self._closing:
                    self.lose()
                else:
                    self._protocol.resume_writing()

    def break_off(self) -> None:
        """The client is gone, but the loop has not heard of it yet: the next write fails."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def free(self) -> None:
        """Give the descriptors back."""
        self.break_off()
        os.close(self._writer)

    def _flush(self) -> None:
        while self._unsent:
            try:
                self._unsent = self._unsent[os.write(self._writer, self._unsent) :]
            except BlockingIOError:
                return


class FakeClient:
    """A client of an `Edge`: sends at once, reads only when it is asked to."""

    def __init__(self, edge: Edge, peer: str = "127.0.0.1") -> None:
        self.connection = Connection(edge)
        self.transport = FakeTransport(self.connection, peer)
        self.connection.connection_made(self.transport)
        self._received = b""

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    def half_close(self) -> bool:
        """Send a FIN; whether the server keeps its side open."""
        kept_open = bool(self.connection.eof_received())
        if not kept_open:
            self.transport.close()
        return kept_open

    def read(self) -> bytes:
        """Take all that was sent; everything received so far, with the date left out of heads."""
        while True:
            try:
                data = os.read(self.transport.reader, 65_536)
            except BlockingIOError:
                break
            self._received += data
            self.transport.taken()
        return re.sub(rb"date: [^\r]*\r\n", b"", self._received)

    def was_reset(self) -> bool:
        """Whether the server ended the connection with a reset."""
        return self.transport.aborted and bool(self.transport.socket.options)


class Ended(NamedTuple):
    """What an application was told of an answer that is over."""

    path: str
    status: int
    outcome: Outcome
    sent_bytes: int


class FakeApplication:
    """Answers what the test says, and notes how each answer ended."""

    def __init__(self) -> None:
        self.handler: Callable[[Request], Answer | Coroutine[Any, Any, Answer]] = lambda _: Response(200, b"ok")
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.ends: list[Ended] = []

    def answer(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        self.requests.append(request)
        self.bodies.append(request.body)
        return self.handler(request)

    def refuse(self, request: Request, status: int, *, detail: str) -> Response:
        return Response(status, detail.encode())

    def cut(self, request: Request) -> Response:
        return Response(503, b"cut")

    def crashed(self, request: Request, error: Exception) -> Response:
        return Response(500, b"crashed: " + type(error).__name__.encode())

    def ended(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
        self.ends.append(Ended(request.path, status, outcome, sent_bytes))


class WheelLoop:
    """The running loop, with its timers on a fake wheel: what it is asked to do later, it does when that turns."""

    def __init__(self, wheel: FakeWheel) -> None:
        self._wheel = wheel
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)

    def call_later(self, delay_s: float, call: Callable[..., object], *args: object) -> "FakeTimer":
        timer = FakeTimer(self._wheel, lambda: call(*args))
        self._wheel.join(timer, self._wheel.now() + delay_s)
        return timer

    def as_loop(self) -> asyncio.AbstractEventLoop:
        """Itself, under the type that its users ask for."""
        return cast(asyncio.AbstractEventLoop, self)


class FakeTimer:
    """A call to come, as an entry of a wheel."""

    def __init__(self, wheel: FakeWheel, call: Callable[[], object]) -> None:
        self.slot: dict[Timed, None] | None = None
        self._wheel = wheel
        self._call = call

    def due(self, now_s: float) -> float | None:
        self._call()
        return None

    def cancel(self) -> None:
        self._wheel.leave(self)


async def settle() -> None:
    """Let everything that is ready run: no time passes."""
    for _ in range(20):
        await asyncio.sleep(0)
