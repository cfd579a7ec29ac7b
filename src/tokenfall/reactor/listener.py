"""Listening sockets: binds them and accepts a bounded number of connections per turn. Used by the HTTP server."""

import _socket  # the C module: `socket` imports enum and selectors
import os

from tokenfall import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tokenfall.reactor.loop import Reactor

    Accepted = Callable[[int, str], object]
    """Called with a connected non-blocking descriptor and the peer's address without port.

    It owns the descriptor once it has returned; if it raises, the listener closes the descriptor.
    """

BACKLOG = 1_024
"""Maximum number of connections waiting to be accepted."""

ACCEPTS_PER_TURN = 64
"""Connections accepted in one turn of the loop."""

RETRY_S = 0.2
"""How long accepting pauses when the process or the system is out of descriptors or memory."""

LOG_EVERY_S = 1.0

_log = logs.get(__name__)


def bind(host: str, port: int, *, reuse_port: bool = False) -> "list[_socket.socket]":
    """One bound socket for each address of `host` (all addresses for ""), all with the same port. Raises OSError.

    Port 0 selects a free port. `reuse_port` sets SO_REUSEPORT.
    """
    bound: list[_socket.socket] = []
    try:
        for family, kind, protocol, address in _addresses(host, port):
            sock = _socket.socket(family, kind, protocol)
            bound.append(sock)
            sock.setblocking(False)
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
            if family == _socket.AF_INET6:
                sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
            sock.bind((address[0], bound[0].getsockname()[1] if len(bound) > 1 else port, *address[2:]))
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


class Listener:
    """Accepts from one bound socket, which it owns."""

    urgent = True

    def __init__(self, reactor: "Reactor", sock: "_socket.socket", *, accepted: "Accepted") -> None:
        self._reactor = reactor
        self._socket = sock
        self._accepted = accepted
        self._retry: Any = None
        self._logged_s = float("-inf")
        sock.listen(BACKLOG)
        reactor.add(sock.fileno(), self)

    def ready(self, mask: int) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                fd, address = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - what `socket.accept` calls
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            try:
                os.set_blocking(fd, False)
                self._accepted(fd, address[0] if address else "")
            except BaseException:
                os.close(fd)
                raise

    def close(self) -> None:
        if self._retry is not None:
            self._reactor.wheel.cancel(self._retry)
        else:
            self._reactor.remove(self._socket.fileno())
        self._socket.close()

    def _pause(self, error: OSError) -> None:
        """Stop accepting for a while: without descriptors or memory, the poller would report the socket endlessly."""
        now = self._reactor.wheel.now()
        if now - self._logged_s >= LOG_EVERY_S:
            self._logged_s = now
            _log.warning("cannot accept connections: %s", error)
        self._reactor.remove(self._socket.fileno())
        self._retry = self._reactor.call_at(now + RETRY_S, self._resume)

    def _resume(self) -> None:
        self._retry = None
        self._reactor.add(self._socket.fileno(), self)


def _addresses(host: str, port: int) -> "list[tuple[int, int, int, Any]]":
    # A `str` would be encoded with the idna codec, which imports `re` and `enum`.
    name = host.encode() if host.isascii() else host
    found = _socket.getaddrinfo(name or None, port, 0, _socket.SOCK_STREAM, 0, _socket.AI_PASSIVE)
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in dict.fromkeys(found)]
