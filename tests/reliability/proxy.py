"""A TCP proxy that does harm: it delays, stalls, cuts, resets and passes on half of what it should."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

_RESET = struct.pack("ii", 1, 0)

LATE_S = 2.7
"""Later than a server waits for a reply (`redis_calls.CALL_S`): the caller has given up when it comes."""


class _Pair:
    """One connection of the server under test, and its other half to Redis."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far

    def reset(self) -> None:
        for writer in (self.near, self.far):
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None and not writer.is_closing():
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def close(self) -> None:
        self.near.close()
        self.far.close()


class Proxy:
    """Between clients that connect to `port` and a server on `to`. A fault hits the next bytes that come, on any
    connection.
    """

    def __init__(self, to: int, random: Random) -> None:
        self.to = to
        self.port = 0
        self.done: Counter[str] = Counter()
        """What harm was done."""
        self._random = random
        self._requests: deque[str] = deque()
        self._replies: deque[str] = deque()
        self._pairs: set[_Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._on_reply: dict[str, Callable[[_Pair, bytes], Awaitable[None]]] = {
            "delayed": self._delayed,
            "late": self._late,
            "half, then late": self._half_then_late,
            "half, then reset": self._half_then_reset,
            "half, then closed": self._half_then_closed,
            "lost": self._lost,
        }
        self._on_request: dict[str, Callable[[_Pair, bytes], Awaitable[None]]] = {
            "half a request, then reset": self._half_a_request,
            "request lost": self._lost,
        }

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def harm(self) -> None:
        """One fault more, of any kind."""
        kind = self._random.choice([*self._on_reply, *self._on_request])
        (self._replies if kind in self._on_reply else self._requests).append(kind)

    def relent(self) -> None:
        """No more harm is done."""
        self._requests.clear()
        self._replies.clear()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio's complains on Python 3.11 when it is cancelled.
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        pair = _Pair(writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump(pair, reader, out=far_writer, faults=(self._requests, self._on_request)),
                self._pump(pair, far_reader, out=writer, faults=(self._replies, self._on_reply)),
            )
        finally:
            self._pairs.discard(pair)
            pair.close()

    async def _pump(
        self,
        pair: _Pair,
        reader: asyncio.StreamReader,
        *,
        out: asyncio.StreamWriter,
        faults: tuple[deque[str], dict[str, Callable[[_Pair, bytes], Awaitable[None]]]],
    ) -> None:
        waiting, kinds = faults
        with contextlib.suppress(ConnectionError, RuntimeError):
            while data := await reader.read(65536):
                if waiting:
                    kind = waiting.popleft()
                    self.done[kind] += 1
                    await kinds[kind](pair, data)
                else:
                    out.write(data)
                    await out.drain()
        pair.close()

    # Harm

    async def _delayed(self, pair: _Pair, data: bytes) -> None:
        await asyncio.sleep(self._random.uniform(0.01, 0.3))
        pair.near.write(data)

    async def _late(self, pair: _Pair, data: bytes) -> None:
        await asyncio.sleep(LATE_S)
        pair.near.write(data)

    async def _half_then_late(self, pair: _Pair, data: bytes) -> None:
        at = self._random.randrange(len(data))
        pair.near.write(data[:at])
        await asyncio.sleep(LATE_S)
        pair.near.write(data[at:])

    async def _half_then_reset(self, pair: _Pair, data: bytes) -> None:
        pair.near.write(data[: self._random.randrange(len(data))])
        await asyncio.sleep(0.01)
        pair.reset()

    async def _half_then_closed(self, pair: _Pair, data: bytes) -> None:
        pair.near.write(data[: self._random.randrange(len(data))])
        pair.close()

    async def _half_a_request(self, pair: _Pair, data: bytes) -> None:
        pair.far.write(data[: self._random.randrange(len(data))])
        await asyncio.sleep(0.01)
        pair.reset()

    async def _lost(self, pair: _Pair, data: bytes) -> None:
        pair.reset()

    async def end(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


@asynccontextmanager
async def proxied(to: int, random: Random) -> AsyncIterator[Proxy]:
    """A proxy that listens."""
    proxy = Proxy(to, random)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
