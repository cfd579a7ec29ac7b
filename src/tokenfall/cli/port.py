"""Reserves a port for several worker processes, without listening on it. Called by the supervisor."""

import socket
from collections.abc import Iterator


def reserve(host: str, port: int) -> list[socket.socket]:
    """Bind every address of `host` for processes that listen with SO_REUSEPORT. Raises OSError.

    Port 0 selects one free port for all addresses. While the sockets are open, the port stays reserved even without
    listeners. The sockets get no connections, because they do not listen. Raises OSError also if another process
    listens on the port, although SO_REUSEPORT would allow to share it.
    """
    reserved: list[socket.socket] = []
    try:
        for family, kind, protocol, address in _addresses(host, port):
            bound = (address[0], reserved[0].getsockname()[1] if reserved else port, *address[2:])
            # With SO_REUSEPORT, bind succeeds although another process of this user has the port. Without it, it fails.
            with _socket(family, kind, protocol=protocol) as exclusive:
                exclusive.bind(bound)
                bound = exclusive.getsockname()
            shared = _socket(family, kind, protocol=protocol)
            reserved.append(shared)
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.bind(bound)
            # With SO_REUSEADDR, another process could listen on the port while no worker does.
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError:
        for each in reserved:
            each.close()
        raise
    return reserved


_Address = tuple[socket.AddressFamily, socket.SocketKind, int, tuple[str, int]]


def _addresses(host: str, port: int) -> Iterator[_Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        yield family, kind, protocol, address  # type: ignore[misc]


def _socket(family: int, kind: int, *, protocol: int) -> socket.socket:
    """A socket with the options of `reactor.listener`, so that both can bind the same addresses."""
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    except OSError:
        sock.close()
        raise
    return sock
