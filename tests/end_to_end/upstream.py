"""An OpenAI-compatible provider on a raw socket, scripted by the test."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.end_to_end.client import PATIENCE_S

Script = Callable[["Exchange"], Awaitable[None]]

SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def delta(text: str, **more: Any) -> bytes:
    """Return an OpenAI stream chunk with content."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    document = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up-1",
        "choices": [choice],
        **more,
    }
    return event(json.dumps(document).encode())


FINISH = event(b'{"id":"c","model":"up-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
DONE = event(b"[DONE]")


class Exchange:
    """One request of the server under test, and methods that send its response."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        tls = writer.get_extra_info("ssl_object")
        self.is_resumed = tls is not None and bool(tls.session_reused)
        """Whether this connection resumes the TLS session of an earlier one."""
        self.head = b""
        self.headers: dict[str, str] = {}
        self.raw = b""
        self.body: dict[str, Any] = {}

    async def read(self) -> bool:
        """Read a request; return False if the connection ends before one."""
        try:
            self.head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        lines = self.head.decode().split("\r\n")[1:-2]
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self.raw = await self._reader.readexactly(int(self.headers.get("content-length", "0")))
        self.body = json.loads(self.raw) if self.raw else {}
        return True

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_head(self) -> None:
        await self.write(SSE_HEAD)

    async def send_chunks(self, *pieces: bytes) -> None:
        """Send each piece as one chunk of the body."""
        for piece in pieces:
            await self.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def send_last_chunk(self) -> None:
        await self.write(b"0\r\n\r\n")

    async def respond(self, status: int, body: bytes = b"{}", *, headers: bytes = b"") -> None:
        length = b"Content-Length: %d\r\n" % len(body)
        await self.write(b"HTTP/1.1 %d Status\r\n" % status + headers + length + b"\r\n" + body)

    async def read_to_end(self) -> bytes:
        """Return the data after the request until FIN. Raises ConnectionError on a reset."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.read()

    async def wait_closed(self) -> None:
        """Return once the server under test has closed its side of the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while await self._reader.read(4096):
                    pass
            except ConnectionError:
                pass

    def send_fin(self) -> None:
        """Send FIN, over TLS without close_notify."""
        self.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST: data that the server under test has not read yet may be lost."""
        sock = self.writer.get_extra_info("socket")
        if sock is None:
            return  # the peer has already closed
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Upstream:
    """An upstream that plays `script` for every request; a connection stays open until the script closes it."""

    def __init__(self) -> None:
        self.script: Script = respond_with(b"Hello")
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.open_connections = 0
        self.errors: list[Exception] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            while await (exchange := Exchange(reader, writer)).read():
                self.exchanges.append(exchange)
                await self.script(exchange)
                if writer.is_closing():
                    break
        except (ConnectionError, ssl.SSLError):  # SSLError: data after close_notify
            pass
        except Exception as error:  # noqa: BLE001 - reported by `scripted`, otherwise the test would only time out
            self.errors.append(error)
        finally:
            self.open_connections -= 1
            writer.close()


def respond_with(*tokens: bytes) -> Script:
    """Return a script that sends a complete response of these tokens."""

    async def script(exchange: Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(*(delta(token.decode()) for token in tokens), FINISH, DONE)
        await exchange.send_last_chunk()

    return script


@asynccontextmanager
async def scripted(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Run an upstream; an exception in its script fails the test."""
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    upstream.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/v1"
    try:
        yield upstream
    finally:
        server.close()
    assert upstream.errors == []
