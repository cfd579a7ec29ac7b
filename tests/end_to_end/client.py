"""A raw HTTP client for tests: it sends given bytes and shows the received bytes, read by read."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PATIENCE_S = 10.0
"""How long anything may take that is not itself a matter of time: the machine may be busy."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Head:
    """The head of a response; names in lower case, values of repeated fields joined by ", "."""

    raw: bytes
    version: str
    status: int
    headers: dict[str, str]


@dataclass(frozen=True)
class ClientResponse:
    """A complete response; `body` is free of any transfer coding."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def headers(self) -> dict[str, str]:
        return self.head.headers


class Client:
    """One connection. Every wait is bounded by `PATIENCE_S` unless another bound is given."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffered = b""
        """Received and not yet returned."""

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

    # Out

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def send_now(self, data: bytes) -> int:
        """As much as the kernel takes at once; 0 when it takes nothing. Raises OSError when nobody is there."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def half_close(self) -> None:
        """Close this side only: FIN."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.sock.close()

    def close(self) -> None:
        """Leave."""
        self.sock.close()

    # In

    async def receive(self, *, within_s: float = PATIENCE_S) -> bytes:
        """What is buffered, else one read; b"" at the end. Raises TimeoutError and ConnectionError."""
        if self.buffered:
            data, self.buffered = self.buffered, b""
            return data
        async with asyncio.timeout(within_s):
            return await asyncio.get_running_loop().sock_recv(self.sock, 65536)

    async def until(self, marker: bytes, *, within_s: float = PATIENCE_S) -> bytes:
        """Everything up to and with `marker`. Raises EOFError when the connection ends before."""
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
        """All that comes until the other side closes. Raises ConnectionError on a reset."""
        data = bytearray()
        async with asyncio.timeout(within_s):
            while more := await self.receive(within_s=within_s):
                data += more
        return bytes(data)

    async def wait_closed(self, *, within_s: float = PATIENCE_S) -> str:
        """Read all away until the other side has closed: `closed` for FIN, `reset` for RST."""
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
        """The next chunk's data, b"" for the last; its framing is checked to the byte."""
        size = await self.until(b"\r\n")
        assert size == b"%x\r\n" % int(size, 16), "a size in lower-case hex, no leading zero, no extension"
        data = await self.exactly(int(size, 16) + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def chunks(self) -> list[bytes]:
        """All chunks up to the last, which is left out."""
        chunks = []
        while data := await self.chunk():
            chunks.append(data)
        return chunks

    async def read_response(self, *, to_head: bool = False) -> ClientResponse:
        """The next final response; `to_head`: to a HEAD request, so without a body."""
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
    """A request's bytes; underscores of `headers` are hyphens."""
    if isinstance(body, str):
        body = body.encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


async def fetch(port: int, data: bytes) -> ClientResponse:
    """One request on a connection of its own."""
    async with await Client.connect(port) as client:
        return await client.fetch(data)


async def status_or_zero(client: Client, data: bytes) -> int:
    """The status of the response to a request, 0 if the connection ends before one."""
    try:
        await client.send(data)
        return (await client.head()).status
    except (ConnectionError, EOFError):
        return 0


async def metric(port: int, name: str) -> float:
    """A value of `/metrics`; a labelled one by its whole name with labels. 0 for one that is not there yet."""
    response = await fetch(port, request("/metrics"))
    assert response.status == 200
    for line in response.body.decode().splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


async def metric_becomes(port: int, name: str, value: float, *, within_s: float = PATIENCE_S) -> None:
    """Return once a metric has `value`: each look is a request's round trip. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while await metric(port, name) != value:
            pass
