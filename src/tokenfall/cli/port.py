"""A port that several processes will listen on, held by one that does not listen."""

import socket
from collections.abc import Iterator


def hold(host: str, port: int) -> list[socket.socket]:
    """Bind every address of `host` for processes that listen with SO_REUSEPORT. Raises OSError.

    Port 0 takes one free port for all addresses. While the sockets are open the port stays ours though all listeners
    are gone; they get no connection, as they do not listen. A port on which any other process listens is refused,
    also where SO_REUSEPORT would share it.
    """
    held: list[socket.socket] = []
    try:
        for family, kind, protocol, address in _addresses(host, port):
            taken = (address[0], held[0].getsockname()[1] if held else port, *address[2:])
            # SO_REUSEPORT shares with whoever of this user has it set: without it the kernel says who is there.
            with _socket(family, kind, protocol=protocol) as alone:
                alone.bind(taken)
                taken = alone.getsockname()
            shared = _socket(family, kind, protocol=protocol)
            held.append(shared)
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.bind(taken)
            # Or anybody who sets it could listen here while all of our listeners are gone.
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError:
        for each in held:
            each.close()
        raise
    return held


_Address = tuple[socket.AddressFamily, socket.SocketKind, int, tuple[str, int]]


def _addresses(host: str, port: int) -> Iterator[_Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        yield family, kind, protocol, address  # type: ignore[misc]


def _socket(family: int, kind: int, *, protocol: int) -> socket.socket:
    """With the options that an event loop gives its listeners, so that the same addresses are free for both."""
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    except OSError:
        made.close()
        raise
    return made
