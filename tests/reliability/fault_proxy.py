"""A fault proxy: a TCP proxy that delays, truncates or drops data and resets connections between a server and Redis."""

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
"""A delay longer than the timeout of a Redis call (`tokenfall.redis.calls.CALL_S`)."""


class _Connection:
    """A client's connection to the proxy, with the proxy's connection to Redis."""

    def __init__(self, client: asyncio.StreamWriter, target: asyncio.StreamWriter) -> None:
        self.client = client
        self.target = target

    def reset(self) -> None:
        """Close both with RST."""
        for writer in (self.client, self.target):
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None and not writer.is_closing():
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def close(self) -> None:
        self.client.close()
        self.target.close()


class FaultProxy:
    """Forwards connections on `port` to `target_port` of 127.0.0.1.

    A pending fault applies to the next data in its direction, on any connection.
    """

    def __init__(self, target_port: int, random: Random) -> None:
        self.target_port = target_port
        self.port = 0
        self.injected: Counter[str] = Counter()
        """The number of injected faults by kind."""
        self._random = random
        self._requests: deque[str] = deque()
        self._replies: deque[str] = deque()
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._on_reply: dict[str, Callable[[_Connection, bytes], Awaitable[None]]] = {
            "reply delayed": self._delayed,
            "reply after the timeout": self._late,
            "reply truncated, rest after the timeout": self._truncated_then_late,
            "reply truncated, then RST": self._truncated_then_reset,
            "reply truncated, then FIN": self._truncated_then_closed,
            "reply lost": self._lost,
        }
        self._on_request: dict[str, Callable[[_Connection, bytes], Awaitable[None]]] = {
            "request truncated, then RST": self._truncated_request,
            "request lost": self._lost,
        }

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def add_fault(self) -> None:
        """Add a pending fault of a random kind."""
        kind = self._random.choice([*self._on_reply, *self._on_request])
        (self._replies if kind in self._on_reply else self._requests).append(kind)

    def clear_faults(self) -> None:
        """Drop all pending faults."""
        self._requests.clear()
        self._replies.clear()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A callback that is a coroutine runs in a task of asyncio, which logs an error when cancelled (Python 3.11).
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.close()
            return
        connection = _Connection(writer, target_writer)
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._forward(connection, reader, out=target_writer, faults=(self._requests, self._on_request)),
                self._forward(connection, target_reader, out=writer, faults=(self._replies, self._on_reply)),
            )
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _forward(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        *,
        out: asyncio.StreamWriter,
        faults: tuple[deque[str], dict[str, Callable[[_Connection, bytes], Awaitable[None]]]],
    ) -> None:
        pending, handlers = faults
        with contextlib.suppress(ConnectionError, RuntimeError):
            while data := await reader.read(65536):
                if pending:
                    kind = pending.popleft()
                    self.injected[kind] += 1
                    await handlers[kind](connection, data)
                else:
                    out.write(data)
                    await out.drain()
        connection.close()

    # Faults

    async def _delayed(self, connection: _Connection, data: bytes) -> None:
        await asyncio.sleep(self._random.uniform(0.01, 0.3))
        connection.client.write(data)

    async def _late(self, connection: _Connection, data: bytes) -> None:
        await asyncio.sleep(LATE_S)
        connection.client.write(data)

    async def _truncated_then_late(self, connection: _Connection, data: bytes) -> None:
        at = self._random.randrange(len(data))
        connection.client.write(data[:at])
        await asyncio.sleep(LATE_S)
        connection.client.write(data[at:])

    async def _truncated_then_reset(self, connection: _Connection, data: bytes) -> None:
        connection.client.write(data[: self._random.randrange(len(data))])
        await asyncio.sleep(0.01)
        connection.reset()

    async def _truncated_then_closed(self, connection: _Connection, data: bytes) -> None:
        connection.client.write(data[: self._random.randrange(len(data))])
        connection.close()

    async def _truncated_request(self, connection: _Connection, data: bytes) -> None:
        connection.target.write(data[: self._random.randrange(len(data))])
        await asyncio.sleep(0.01)
        connection.reset()

    async def _lost(self, connection: _Connection, data: bytes) -> None:
        connection.reset()

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


@asynccontextmanager
async def running_proxy(target_port: int, random: Random) -> AsyncIterator[FaultProxy]:
    """A listening fault proxy, closed at the end of the block."""
    proxy = FaultProxy(target_port, random)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
