"""An upstream connection whose peer socket the test controls."""

import asyncio
import socket
import struct
from contextlib import suppress

from tokenfall.upstream.connection import Owner, UpstreamConnection

from tests.doubles.exchanges import RecordedExchange
from tests.doubles.loops import running_reactor
from tests.end_to_end.client import PATIENCE_S
from tests.end_to_end.in_process import eventually

REQUEST = b"GET / HTTP/1.1\r\nHost: upstream\r\n\r\n"


class RecordedOwner(Owner):
    """Counts idle and closed connections, and keeps idle ones open as a pool does."""

    def __init__(self) -> None:
        self.idle = 0
        self.closed = 0

    def connection_idle(self, connection: UpstreamConnection) -> None:
        self.idle += 1
        connection.was_idle = True

    def connection_closed(self, connection: UpstreamConnection) -> None:
        self.closed += 1


class ConnectionPair:
    """An upstream connection and the plain socket that is its peer."""

    def __init__(self, *, kind: socket.AddressFamily = socket.AF_UNIX) -> None:
        ours, self.peer = socket.socketpair() if kind is socket.AF_UNIX else tcp_pair()
        ours.setblocking(False)
        self.peer.setblocking(False)
        self.owner = RecordedOwner()
        self.connection = UpstreamConnection(running_reactor(), ours.detach(), owner=self.owner)

    def send_request(self, request: bytes = REQUEST, *, is_head: bool = False) -> RecordedExchange:
        """Send a request and return its exchange."""
        exchange = RecordedExchange()
        exchange.begin()
        exchange.end.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.connection.send(request, exchange, is_head=is_head)
        return exchange

    async def wait_closed(self) -> None:
        """Return once the connection is closed."""
        await eventually(lambda: self.connection.fd < 0, lambda: "the connection is open")

    async def peer_receive(self, size_bytes: int) -> bytes:
        """Return at least `size_bytes` received by the peer."""
        data = b""
        async with asyncio.timeout(PATIENCE_S):
            while len(data) < size_bytes:
                data += await asyncio.get_running_loop().sock_recv(self.peer, 65_536)
        return data

    def reset_peer(self) -> None:
        """Close the peer of a TCP connection with RST."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def close(self) -> None:
        self.connection.abandon()
        with suppress(OSError):
            self.peer.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return ours, theirs
