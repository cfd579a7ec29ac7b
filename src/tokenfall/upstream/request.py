"""Encodes requests to the upstream. Source: RFC 9112, section 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tokenfall.http.encoding import header_lines

if TYPE_CHECKING:
    from tokenfall.memory.leases import MemoryLease
    from tokenfall.messages import ChatRequest
    from tokenfall.upstream.address import UpstreamAddress
    from tokenfall.upstream.proxies import Proxy


class UpstreamRequest:
    """A request to an upstream. `target` is a path, optionally with a query, relative to the base address.

    `headers` are encoded lines, without Host and Content-Length. `body` is None for a request without a body. `chat` is
    the source of the body, for a request that may be sent again with a rewrite. `lease` is the memory that the request
    takes until `release`. `on_accepted` is called with `chat` at the first event of the response.
    """

    __slots__ = ("body", "chat", "headers", "lease", "method", "on_accepted", "target")

    def __init__(
        self,
        method: str,
        target: str,
        *,
        headers: bytes = b"",
        body: bytes | None = None,
        chat: ChatRequest | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.chat = chat
        self.lease: MemoryLease | None = None
        self.on_accepted: Callable[[ChatRequest], None] | None = None

    def size_bytes(self) -> int:
        """Memory of the body: of the text that it was encoded from, of itself, and of what is not sent yet."""
        return len(self.body or b"") * (2 if self.chat is None else 3)

    def accepted(self) -> None:
        """The first event of the response has arrived."""
        if self.on_accepted is not None and self.chat is not None:
            self.on_accepted(self.chat)
        self.release()

    def release(self) -> None:
        """Release headers, body and lease, once the request will not be sent again."""
        if self.lease is not None:
            self.lease.release()
            self.lease = None
        self.headers = b""
        self.body = None
        self.chat = None


class RequestEncoder:
    """Encoder for one address. A plain HTTP request to a proxy has the absolute form; RFC 9112, section 3.2.2."""

    def __init__(self, address: UpstreamAddress, *, proxy: Proxy | None = None) -> None:
        by_proxy = proxy is not None and not address.is_tls
        self._prefix = (address.origin if by_proxy else "") + address.path
        self._fixed = header_lines([("Host", address.authority)])
        if by_proxy and proxy is not None and proxy.authorization:
            self._fixed += header_lines([("Proxy-Authorization", proxy.authorization)])

    def encode(self, request: UpstreamRequest) -> bytes:
        """Head and body."""
        body = request.body
        line = f"{request.method} {self._prefix}{request.target} HTTP/1.1\r\n".encode()
        end = b"\r\n" if body is None else b"Content-Length: %d\r\n\r\n" % len(body)
        return b"".join((line, self._fixed, request.headers, end, body or b""))
