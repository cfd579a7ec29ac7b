"""Opens upstream connections: DNS, TCP, a proxy tunnel and TLS. Its error messages contain no host name.

Source: RFC 8305 for the order of addresses (aiohappyeyeballs), RFC 9110, section 9.3.6, for CONNECT.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import aiohappyeyeballs

from tokenfall import logs
from tokenfall.errors import UpstreamConnectTimeout, UpstreamError, UpstreamUnreachable, UpstreamUntrusted
from tokenfall.http.encoding import header_lines
from tokenfall.upstream.connection import Owner, UpstreamConnection
from tokenfall.upstream.resolver import CachingResolver

if TYPE_CHECKING:
    import ssl

    from tokenfall.reactor.loop import Reactor
    from tokenfall.upstream.address import UpstreamAddress
    from tokenfall.upstream.proxies import Proxy
    from tokenfall.upstream.tls import TLSLayer

NEXT_ADDRESS_S = 0.25
"""Delay before the next address is tried in parallel; RFC 8305, section 5."""
MAX_HANDSHAKES = 16
"""Maximum number of concurrent TLS handshakes: each takes a millisecond of CPU time, and memory while it runs."""
MAX_PROXY_HEAD_BYTES = 16_384
READ_BYTES = 65_536

_log = logs.get(__name__)


class Dialer:
    """Connects to `address`, through `proxy` if given."""

    def __init__(
        self, address: UpstreamAddress, *, reactor: Reactor, connect_s: float, proxy: Proxy | None = None
    ) -> None:
        """Raises ValueError if the CA certificates named by the environment cannot be read."""
        self.address = address
        self._reactor = reactor
        self._connect_s = connect_s
        self.proxy = proxy
        self._resolver = CachingResolver(reactor.wheel.now)
        self._context: ssl.SSLContext | None = None
        self._session: ssl.SSLSession | None = None
        self._untrusted = False  # since the last handshake
        self._handshakes = asyncio.Semaphore(MAX_HANDSHAKES)
        if address.is_tls:
            from tokenfall.upstream.tls import client_context  # noqa: PLC0415 - 5 MiB that plain HTTP does not need

            self._context = client_context()

    async def dial(self, owner: Owner, *, within_s: float) -> UpstreamConnection:
        """Open a connection that is ready for a request.

        Raises an `UpstreamError`; TimeoutError if `within_s` is shorter than the connect timeout and has passed.
        Cancelling closes the socket.
        """
        try:
            async with asyncio.timeout(min(self._connect_s, within_s)):
                sock = await self._connect()
                try:
                    tls = await self._prepare(sock)
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError:
            if within_s < self._connect_s:
                raise
            raise UpstreamConnectTimeout("the upstream did not accept a connection in time") from None
        if tls is None:
            return UpstreamConnection(self._reactor, sock.detach(), owner=owner)
        from tokenfall.upstream.tls_connection import TLSConnection  # noqa: PLC0415 - loaded with the context

        return TLSConnection(self._reactor, sock.detach(), owner=owner, tls=tls)

    def remember(self, connection: UpstreamConnection) -> None:
        """Store the TLS session of a new connection after its first response, for later connections to resume."""
        if self._session is None or not connection.was_idle:
            self._session = connection.tls_session

    async def _connect(self) -> socket.socket:
        host, port = (self.address.host, self.address.port) if self.proxy is None else self.proxy[:2]
        peer = "the upstream" if self.proxy is None else "the proxy of the upstream"
        try:
            infos = await self._resolver.look_up(host, port)
        except socket.gaierror:
            raise UpstreamUnreachable(f"the host name of {peer} cannot be resolved") from None
        try:
            sock = await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1)
        except OSError:
            self._resolver.forget(host, port)
            raise UpstreamUnreachable(f"{peer} cannot be reached") from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _prepare(self, sock: socket.socket) -> TLSLayer | None:
        """Do the CONNECT request and the TLS handshake, if needed."""
        try:
            if self.proxy is not None and self._context is not None:
                await self._tunnel(sock, self.proxy)
            if self._context is None:
                return None
            async with self._handshakes:
                return await self._handshake(sock, self._context)
        except OSError:  # includes ssl.SSLError
            raise UpstreamUnreachable("the connection to the upstream broke during the handshake") from None

    async def _tunnel(self, sock: socket.socket, proxy: Proxy) -> None:
        """Open a tunnel through the proxy. Raises `UpstreamUnreachable` and OSError."""
        loop, address = asyncio.get_running_loop(), self.address
        target = f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"
        lines = [("Host", target), *([("Proxy-Authorization", proxy.authorization)] if proxy.authorization else [])]
        await loop.sock_sendall(sock, f"CONNECT {target} HTTP/1.1\r\n".encode() + header_lines(lines) + b"\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            data = await loop.sock_recv(sock, 4_096)
            head += data
            if not data or len(head) > MAX_PROXY_HEAD_BYTES:
                raise _refused("without a status")
        _check_tunnel(head)

    async def _handshake(self, sock: socket.socket, context: ssl.SSLContext) -> TLSLayer:
        from tokenfall.upstream.tls import TLSLayer, UntrustedCertificate  # noqa: PLC0415 - loaded with the context

        loop = asyncio.get_running_loop()
        tls = TLSLayer(context, self.address.host, session=self._session)
        try:
            while True:
                is_done = tls.handshake()
                if unsent := tls.unsent():
                    await loop.sock_sendall(sock, unsent)
                if is_done:
                    self._untrusted = False
                    return tls
                tls.receive(await loop.sock_recv(sock, READ_BYTES))
        except UntrustedCertificate as error:
            if not self._untrusted:  # one line for all connections, until one is trusted again
                _log.warning("the upstream's certificate is not trusted: %s", error)
            self._untrusted = True
            raise UpstreamUntrusted(f"the upstream's certificate is not trusted: {error}") from None


def _check_tunnel(head: bytes) -> None:
    """Raises `UpstreamUnreachable` if the proxy's response is not 2xx."""
    version, _, after_version = head.partition(b" ")
    status = after_version[:3]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise _refused("without a status")
    if not status.startswith(b"2"):
        raise _refused(f"with status {status.decode()}")


def _refused(how: str) -> UpstreamError:
    return UpstreamUnreachable(f"the proxy of the upstream refused to connect, {how}")
