"""A raw HTTP/1.1 client: it sends the given bytes unchanged and gives access to each read."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PATIENCE_S = 10.0
"""Timeout of operations whose duration is not under test."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Head:
    """The head of a response; header names in lower case, values of repeated fields joined by ", "."""

    raw: bytes
    version: str
    status: int
    headers: dict[str, str]


@dataclass(frozen=True)
class ClientResponse:
    """A complete response; `body` has its transfer coding removed."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def headers(self) -> dict[str, str]:
        return self.head.headers


class Client:
    """One connection. Every operation raises TimeoutError after `PATIENCE_S` unless another timeout is given."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffered = b""
        """Received data that has not been returned yet."""

    @classmethod
    async def connect(cls, port: int, *, receive_buffer: int | None = None) -> Self:
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Sending

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def send_now(self, data: bytes) -> int:
        """Send what fits into the socket buffer; return its size. Raises OSError if the peer has closed."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def half_close(self) -> None:
        """Send FIN; the client can still receive."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    # Receiving

    async def receive(self, *, within_s: float = PATIENCE_S) -> bytes:
        """Return the buffered data or one read, b"" at the end. Raises TimeoutError and ConnectionError."""
        if self.buffered:
            data, self.buffered = self.buffered, b""
            return data
        async with asyncio.timeout(within_s):
            return await asyncio.get_running_loop().sock_recv(self.sock, 65536)

    async def until(self, marker: bytes, *, within_s: float = PATIENCE_S) -> bytes:
        """Return the data up to and including `marker`. Raises EOFError if the connection ends before it."""
        data = bytearray()
        async with asyncio.timeout(within_s):
            while (at := data.find(marker)) < 0:
                more = await self.receive(within_s=within_s)
                if not more:
                    raise EOFError(bytes(data))
                data += more
        end = at + len(marker)
        self.buffered = bytes(data[end:]) + self.buffered
        return bytes(data[:end])

    async def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await self.receive()
            if not more:
                raise EOFError(data)
            data += more
        self.buffered = data[size:] + self.buffered
        return data[:size]

    async def read_to_end(self, *, within_s: float = PATIENCE_S) -> bytes:
        """Return all data until the peer closes. Raises ConnectionError on a reset."""
        data = bytearray()
        async with asyncio.timeout(within_s):
            while more := await self.receive(within_s=within_s):
                data += more
        return bytes(data)

    async def wait_closed(self, *, within_s: float = PATIENCE_S) -> str:
        """Discard data until the peer closes; return `closed` for FIN and `reset` for RST."""
        try:
            await self.read_to_end(within_s=within_s)
        except ConnectionError:
            return "reset"
        return "closed"

    # HTTP

    async def head(self) -> Head:
        raw = await self.until(b"\r\n\r\n")
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, value = line.split(": ", 1)
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Head(raw, version, int(status), headers)

    async def chunk(self) -> bytes:
        """Return the data of the next chunk, b"" for the last, and check its exact framing."""
        size = await self.until(b"\r\n")
        assert size == b"%x\r\n" % int(size, 16), "the chunk size is not plain lower-case hex without extensions"
        data = await self.exactly(int(size, 16) + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def chunks(self) -> list[bytes]:
        """Return all chunks without the empty last one."""
        chunks = []
        while data := await self.chunk():
            chunks.append(data)
        return chunks

    async def read_response(self, *, to_head: bool = False) -> ClientResponse:
        """Read the next final response; `to_head`: the request was HEAD, so there is no body."""
        head = await self.head()
        if to_head or head.status in (204, 304):
            return ClientResponse(head, b"")
        if head.headers.get("transfer-encoding") == "chunked":
            return ClientResponse(head, b"".join(await self.chunks()))
        if "content-length" in head.headers:
            return ClientResponse(head, await self.exactly(int(head.headers["content-length"])))
        return ClientResponse(head, await self.read_to_end())

    async def fetch(self, data: bytes) -> ClientResponse:
        """Send one request and read its response."""
        await self.send(data)
        return await self.read_response(to_head=data.startswith(b"HEAD "))


def request(target: str, *, method: str = "GET", body: bytes | str | None = None, **headers: str) -> bytes:
    """Return the bytes of a request; underscores in names of `headers` become hyphens."""
    if isinstance(body, str):
        body = body.encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


async def fetch(port: int, data: bytes) -> ClientResponse:
    """Send one request on a new connection and return its response."""
    async with await Client.connect(port) as client:
        return await client.fetch(data)


async def status_or_zero(client: Client, data: bytes) -> int:
    """Send a request and return the status, 0 if the connection ends without a response."""
    try:
        await client.send(data)
        return (await client.head()).status
    except (ConnectionError, EOFError):
        return 0


async def metric(port: int, name: str) -> float:
    """Return the value of a sample of `/metrics`, named with its labels; 0 if it is not exported yet."""
    response = await fetch(port, request("/metrics"))
    assert response.status == 200
    for line in response.body.decode().splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


async def metric_becomes(port: int, name: str, value: float, *, within_s: float = PATIENCE_S) -> None:
    """Request `/metrics` until a sample has `value`. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while await metric(port, name) != value:
            pass
