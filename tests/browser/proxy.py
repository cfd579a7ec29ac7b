"""A TCP proxy between a browser and a server, which cuts, refuses, hangs and heals as a test tells it to.

It runs a loop of its own in a thread of its own. What passes is looked at, and never changed.
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
"""How long a command may take to be obeyed."""

_RESET = struct.pack("ii", 1, 0)
_HEAD_END = b"\r\n\r\n"


class Asked(NamedTuple):
    """The head of a request; its headers by their names in lower case."""

    method: str
    path: str
    headers: dict[str, str]


class Proxy:
    """Listens when the constructor returns, in front of a server on the port `to`."""

    def __init__(self, to: int) -> None:
        self.to = to
        """Another one holds for connections that come."""
        self.asked: list[Asked] = []
        """What came, also where it was not passed on."""
        self.cuts: deque[int | bytes] = deque()
        """For each event stream to come: after how many bytes of its body, or before which bytes, it is cut."""
        self.last_words = b""
        """What is said before such a cut, by a proxy that ends what it has not seen the end of."""
        self.dropped: set[str] = set()
        """Requests ("POST /chat") that are passed on and whose answers are not: a reset comes in their place."""
        self.swallowed: set[str] = set()
        """Requests that are neither passed on nor answered."""
        self._pairs: set[_Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self.port = 0
        self._do(self._listen())

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, method: str, path: str) -> int:
        """How often it was asked."""
        return sum((asked.method, asked.path) == (method, path) for asked in self.asked)

    def followed_after(self) -> list[int]:
        """The events after which turns were come back to, in order."""
        turns = [asked for asked in self.asked if asked.method == "GET" and asked.path.startswith("/chat/turns/")]
        return [int(asked.headers["last-event-id"]) for asked in turns]

    # Harm

    def cut(self, *, reset: bool = True) -> None:
        """All connections, by RST or by FIN; who comes back is served."""
        self._do(self._cut(reset=reset))

    def refuse(self) -> None:
        """Cut all connections, and refuse those that come."""
        self._do(self._refuse())

    def hang(self) -> None:
        """Connections are taken, and nothing passes any more."""
        self._do(self._hang())

    def heal(self) -> None:
        """Serve who comes; what was held up goes on."""
        self._do(self._heal())

    def end(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    # In the loop

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(CALL_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self, *, reset: bool) -> None:
        for pair in list(self._pairs):
            pair.close(reset=reset)

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
        # A task of our own: asyncio's complains on Python 3.11 when it is cancelled.
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump(reader, lambda data: self._request(pair, data)),
                self._pump(far_reader, lambda data: self._answer(pair, data)),
            )
        finally:
            self._pairs.discard(pair)
            pair.close(reset=False)

    async def _pump(self, reader: asyncio.StreamReader, take: Callable[[bytes], Awaitable[bool]]) -> None:
        """Hands on what comes while that is wanted; an end of one side is the end of both."""
        with suppress(ConnectionError, RuntimeError):
            while (data := await reader.read(65_536)) and await take(data):
                pass
        await take(b"")

    async def _request(self, pair: "_Pair", data: bytes) -> bool:
        heads = pair.heads(data)
        self.asked += heads
        await self._flowing.wait()
        if pair.asked not in self.swallowed or not data:
            pair.pass_on(pair.far, data)
        return True

    async def _answer(self, pair: "_Pair", data: bytes) -> bool:
        await self._flowing.wait()
        begins_at = 0
        if pair.asked and data:
            if pair.asked in self.dropped:
                pair.close(reset=True)
                return False
            begins_at = data.find(_HEAD_END) + len(_HEAD_END)
            streams = b"text/event-stream" in data[:begins_at]
            pair.cut_at = self.cuts.popleft() if streams and self.cuts else None
            pair.asked = ""
        end = pair.end_within(data[begins_at:])
        pair.pass_on(pair.near, data if end is None else data[: begins_at + end] + self.last_words)
        if end is not None:
            pair.close(reset=False)
        return end is None


class _Pair:
    """A connection of the browser, and its other half to the server."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far
        self.asked = ""
        """The request that waits for its answer."""
        self.cut_at: int | bytes | None = None
        self._unread = b""
        self._body_left = 0

    def pass_on(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Nothing is the end."""
        if not data:
            self.close(reset=False)
        elif not writer.is_closing():
            writer.write(data)

    def close(self, *, reset: bool) -> None:
        for writer in (self.near, self.far):
            if not reset:
                writer.close()
                continue
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None and not writer.is_closing():
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def heads(self, data: bytes) -> list[Asked]:
        """The heads of the requests that are in what came; the last is the one that waits for its answer."""
        found = []
        self._unread += data
        while self._unread:
            body = min(self._body_left, len(self._unread))
            self._body_left -= body
            head, end, rest = self._unread[body:].partition(_HEAD_END)
            self._unread = self._unread[body:]
            if not end:
                break
            found.append(_asked(head))
            self.asked = f"{found[-1].method} {found[-1].path}"
            self._body_left = int(found[-1].headers.get("content-length", "0"))
            self._unread = rest
        return found

    def end_within(self, body: bytes) -> int | None:
        """Where in the next part of an answer's body it is cut."""
        if isinstance(self.cut_at, bytes):
            at = body.find(self.cut_at)
            return None if at < 0 else at
        if self.cut_at is not None:
            if len(body) >= self.cut_at:
                return self.cut_at
            self.cut_at -= len(body)
        return None


def _asked(head: bytes) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    named = (line.partition(":") for line in lines)
    return Asked(method, path, {name.lower(): value.strip() for name, _, value in named})
