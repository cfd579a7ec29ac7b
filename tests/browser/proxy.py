"""A fault proxy: a TCP proxy between browser and server that aborts, refuses or stalls connections on command.

Its event loop runs in a separate thread. Data is inspected and forwarded unchanged.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any, NamedTuple

CALL_S = 10.0
"""The timeout of a command."""

_RESET = struct.pack("ii", 1, 0)
_HEAD_END = b"\r\n\r\n"


class RequestHead(NamedTuple):
    """The head of a request. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]


class Proxy:
    """Forwards connections to the port `to` of 127.0.0.1. Listens when the constructor returns."""

    def __init__(self, to: int) -> None:
        self.to = to
        """The target port. A new value applies to new connections."""
        self.requests: list[RequestHead] = []
        """All received requests, including those that were not forwarded."""
        self.cuts: deque[int | bytes] = deque()
        """For each of the next event streams: truncate its body after this number of bytes, or before these bytes."""
        self.last_words = b""
        """Data to send before the connection of a truncated stream is closed, as some reverse proxies do."""
        self.dropped: set[str] = set()
        """Requests ("POST /chat") that are forwarded, but whose connection is reset in place of the response."""
        self.swallowed: set[str] = set()
        """Requests that are neither forwarded nor answered."""
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self.port = 0
        self._run(self._listen())

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, method: str, path: str) -> int:
        """The number of received requests with this method and path."""
        return sum((head.method, head.path) == (method, path) for head in self.requests)

    def followed_after(self) -> list[int]:
        """The Last-Event-ID of each request that resumed a turn, in order."""
        turns = [head for head in self.requests if head.method == "GET" and head.path.startswith("/chat/turns/")]
        return [int(head.headers["last-event-id"]) for head in turns]

    # Faults

    def cut(self, *, reset: bool = True) -> None:
        """Close all connections, with RST or FIN. New connections are forwarded."""
        self._run(self._cut(reset=reset))

    def refuse(self) -> None:
        """Reset all connections and refuse new ones."""
        self._run(self._refuse())

    def hang(self) -> None:
        """Accept connections, but forward no data."""
        self._run(self._hang())

    def heal(self) -> None:
        """Accept connections again and forward data, including what was held back."""
        self._run(self._heal())

    def end(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    # Methods that run in the event loop

    def _run(self, command: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(command, self._loop).result(CALL_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self, *, reset: bool) -> None:
        for connection in list(self._connections):
            connection.close(reset=reset)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut(reset=True)

    async def _hang(self) -> None:
        self._flowing.clear()

    async def _heal(self) -> None:
        self._flowing.set()
        await self._listen()

    async def _end(self) -> None:
        await self._refuse()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A callback that is a coroutine runs in a task of asyncio, which logs an error when cancelled (Python 3.11).
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writer, server_writer)
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._forward(reader, lambda data: self._on_request(connection, data)),
                self._forward(server_reader, lambda data: self._on_response(connection, data)),
            )
        finally:
            self._connections.discard(connection)
            connection.close(reset=False)

    async def _forward(self, reader: asyncio.StreamReader, take: Callable[[bytes], Awaitable[bool]]) -> None:
        """Pass data to `take` until it returns False or the connection ends; then pass b"", which closes both sides."""
        with suppress(ConnectionError, RuntimeError):
            while (data := await reader.read(65_536)) and await take(data):
                pass
        await take(b"")

    async def _on_request(self, connection: "_Connection", data: bytes) -> bool:
        heads = connection.heads(data)
        self.requests += heads
        await self._flowing.wait()
        if connection.pending not in self.swallowed or not data:
            connection.forward(connection.server, data)
        return True

    async def _on_response(self, connection: "_Connection", data: bytes) -> bool:
        await self._flowing.wait()
        begins_at = 0
        if connection.pending and data:
            if connection.pending in self.dropped:
                connection.close(reset=True)
                return False
            begins_at = data.find(_HEAD_END) + len(_HEAD_END)
            streams = b"text/event-stream" in data[:begins_at]
            connection.cut_at = self.cuts.popleft() if streams and self.cuts else None
            connection.pending = ""
        end = connection.end_within(data[begins_at:])
        connection.forward(connection.browser, data if end is None else data[: begins_at + end] + self.last_words)
        if end is not None:
            connection.close(reset=False)
        return end is None


class _Connection:
    """A connection of the browser, with the proxy's connection to the server."""

    def __init__(self, browser: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.browser = browser
        self.server = server
        self.pending = ""
        """The request whose response has not started, as "METHOD PATH"; empty if there is none."""
        self.cut_at: int | bytes | None = None
        self._unread = b""
        self._body_left = 0

    def forward(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Forward data; b"" closes both connections."""
        if not data:
            self.close(reset=False)
        elif not writer.is_closing():
            writer.write(data)

    def close(self, *, reset: bool) -> None:
        for writer in (self.browser, self.server):
            if not reset:
                writer.close()
                continue
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None and not writer.is_closing():
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def heads(self, data: bytes) -> list[RequestHead]:
        """The heads of the requests that are complete with `data`. The last one becomes the pending request."""
        found = []
        self._unread += data
        while self._unread:
            body = min(self._body_left, len(self._unread))
            self._body_left -= body
            head, end, rest = self._unread[body:].partition(_HEAD_END)
            self._unread = self._unread[body:]
            if not end:
                break
            found.append(_parse_head(head))
            self.pending = f"{found[-1].method} {found[-1].path}"
            self._body_left = int(found[-1].headers.get("content-length", "0"))
            self._unread = rest
        return found

    def end_within(self, body: bytes) -> int | None:
        """The offset in the next part of the response body at which it is truncated, or None."""
        if isinstance(self.cut_at, bytes):
            at = body.find(self.cut_at)
            return None if at < 0 else at
        if self.cut_at is not None:
            if len(body) >= self.cut_at:
                return self.cut_at
            self.cut_at -= len(body)
        return None


def _parse_head(head: bytes) -> RequestHead:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    named = (line.partition(":") for line in lines)
    return RequestHead(method, path, {name.lower(): value.strip() for name, _, value in named})
