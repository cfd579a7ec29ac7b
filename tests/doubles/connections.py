"""Fakes around a server connection: a pipe in place of the socket, a client, a reactor and an application."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tokenfall.http.connection import Connection
from tokenfall.http.loadable import Loadable
from tokenfall.http.request import Request
from tokenfall.http.response import AnyResponse, Response
from tokenfall.http.server import HTTPServer
from tokenfall.reactor.loop import Reactor, Timer
from tokenfall.reactor.poller import HANGUP, READ, WRITE

from tests.doubles.clocks import FakeWheel

if TYPE_CHECKING:
    from tokenfall.http.application import Outcome

PIPE_BYTES = 4_096
"""Capacity of the pipe before the client has to read: one page, the minimum."""


class FakeReactor:
    """The `Reactor` methods that connections use: timers on a fake wheel, calls and tasks on the asyncio loop."""

    def __init__(self, wheel: FakeWheel) -> None:
        self.wheel = wheel
        self._loop = asyncio.get_running_loop()
        self.masks: dict[int, int] = {}
        """The event mask of each watched descriptor."""
        self._handlers: dict[int, object] = {}

    @property
    def handlers(self) -> list[object]:
        return list(self._handlers.values())

    def add(self, fd: int, handler: object, *, mask: int = READ) -> None:
        self.masks[fd] = mask
        self._handlers[fd] = handler

    def change(self, fd: int, mask: int) -> None:
        assert fd in self.masks, "the descriptor is not registered"
        self.masks[fd] = mask

    def remove(self, fd: int) -> None:
        del self.masks[fd], self._handlers[fd]

    def call_soon(self, call: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_soon(call)

    def call_before_wait(self, call: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_soon(call)

    def call_soon_threadsafe(self, call: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(call)

    def call_at(self, deadline_s: float, call: Callable[[], object]) -> Timer:
        timer = Timer(call)
        self.wheel.schedule(timer, deadline_s)
        return timer

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(coroutine)

    def as_reactor(self) -> Reactor:
        """Return `self` typed as a `Reactor`."""
        return cast(Reactor, self)


class PipeConnection(Connection):
    """A connection that writes into a pipe and records socket operations that a pipe does not support."""

    __slots__ = ("aborted", "eof_written", "options", "sends")

    def __init__(self, server: HTTPServer, fd: int, *, peer: str) -> None:
        self.aborted = False
        self.eof_written = False
        self.options: list[tuple[int, int, int | bytes]] = []
        self.sends: list[bytes] = []
        """The data of each `send` call."""
        super().__init__(server, fd, peer=peer)

    def set_option(self, level: int, name: int, *, value: int | bytes) -> None:
        self.options.append((level, name, value))

    def send(self, data: bytes) -> bool:
        self.sends.append(data)
        return super().send(data)

    def abort(self) -> None:
        self.aborted = True
        super().abort()

    def shut_write(self) -> None:
        self.eof_written = True
        super().shut_write()


class FakeClient:
    """A client of an `HTTPServer`: `send` delivers synchronously, nothing is read before `read`."""

    def __init__(self, server: HTTPServer, peer: str = "127.0.0.1") -> None:
        self._reader, writer = os.pipe2(os.O_NONBLOCK)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._fd = writer
        self._masks = cast(FakeReactor, server.reactor).masks
        self.received = b""
        self.connection = PipeConnection(server, writer, peer=peer)

    def is_closed(self) -> bool:
        """Return whether the server has closed the connection or only has to flush before it closes."""
        return self.connection.fd < 0 or (not self._masks[self._fd] & READ and self._masks[self._fd] & WRITE != 0)

    def is_server_reading(self) -> bool:
        """Return whether the server watches the connection for input."""
        return bool(self._masks.get(self._fd, 0) & READ)

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    def half_close(self) -> bool:
        """Send FIN; return whether the server keeps its side open."""
        kept_open = bool(self.connection.eof_received())
        if not kept_open:
            self.connection.close()
        return kept_open

    def read(self) -> bytes:
        """Read all available data; return everything received so far without `date` headers."""
        while True:
            try:
                data = os.read(self._reader, 65_536)
            except BlockingIOError:
                break
            if not data:
                break
            self.received += data
            if self.connection.fd >= 0 and self._masks[self._fd] & WRITE:
                self.connection.ready(WRITE)
        return re.sub(rb"date: [^\r]*\r\n", b"", self.received)

    def reset(self) -> None:
        """Reset the connection and report the hangup to the server."""
        if self.connection.fd >= 0:
            self.connection.pause_reading()
            self.connection.ready(HANGUP)

    def close_unnoticed(self) -> None:
        """Close the client's end without an event for the server, whose next write fails."""
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    def was_reset(self) -> bool:
        """Return whether the server has reset the connection."""
        return self.connection.aborted

    def close(self) -> None:
        """Reset the connection and close the descriptor."""
        self.reset()
        self.close_unnoticed()


class EndedResponse(NamedTuple):
    """The arguments of one `ended` call."""

    path: str
    status: int
    outcome: Outcome
    sent_bytes: int


class FakeApplication:
    """Responds as configured by the test, and records how each response ended."""

    def __init__(self) -> None:
        self.handler: Callable[[Request], AnyResponse | Coroutine[Any, Any, AnyResponse]] = lambda _: Response(
            200, b"ok"
        )
        self.needed: Loadable | None = None
        """The loadable that `refuse` needs."""
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.ends: list[EndedResponse] = []
        self.reported = asyncio.Event()
        """Set whenever a response has ended."""

    def respond(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
        self.requests.append(request)
        self.bodies.append(request.body)
        return self.handler(request)

    def respond_when_loaded(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
        return self.handler(request)

    def needed_for_refusal(self, request: Request) -> Loadable | None:
        return None if self.needed is None or self.needed.is_loaded else self.needed

    def refuse(self, request: Request, status: int, *, detail: str) -> Response:
        return Response(status, detail.encode())

    def caller(self, request: Request) -> str:
        return request.client

    def cut(self, request: Request) -> Response:
        return Response(503, b"cut")

    def crashed(self, request: Request, error: Exception) -> Response:
        return Response(500, b"crashed: " + type(error).__name__.encode())

    def ended(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
        self.ends.append(EndedResponse(request.path, status, outcome, sent_bytes))
        self.reported.set()


async def settle() -> None:
    """Run all ready callbacks of the loop without advancing time."""
    for _ in range(20):
        await asyncio.sleep(0)
