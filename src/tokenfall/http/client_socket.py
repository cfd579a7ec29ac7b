"""The socket of a client: its send buffer, and the deadline of a client that stops reading.

Base class of `Connection`. Must not depend on requests and responses.
"""

import _socket  # the C module: `socket` imports enum and selectors
import os

from tokenfall.reactor.stream_socket import StreamSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.application import Outcome
    from tokenfall.http.server import HTTPServer
    from tokenfall.memory.leases import MemoryLease, ResponseMemory


class ClientSocket(StreamSocket):
    """Owns `fd`, an accepted non-blocking socket whose SO_SNDBUF is `send_buffer_bytes`."""

    __slots__ = ("_has_large_buffer", "_lease", "_server", "_stalled_at_bytes")

    def __init__(self, server: "HTTPServer", fd: int) -> None:
        super().__init__(server.reactor, fd)
        self._server = server
        self._has_large_buffer = False
        self._lease: MemoryLease | None = None
        self._stalled_at_bytes = 0

    def reset(self, outcome: "Outcome") -> None:
        """Reset the connection (RST) and release everything it holds."""
        raise NotImplementedError

    def expire_in(self, delay_s: float) -> None:
        """Set the deadline, `delay_s` seconds from now."""
        self.set_deadline(self._wheel.now() + delay_s)

    # Sending

    def send(self, data: bytes) -> bool:
        """Write bytes of a stream; return False if the connection is now paused or closed."""
        if self._unsent is not None:
            self._unsent.append(data)
            return False
        try:
            sent = os.write(self.fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.reset("left")
            return False
        if sent == len(data):
            return True
        self.keep_unsent(data[sent:])
        return False

    def count_unsent(self, size_bytes: int, memory: "ResponseMemory", *, caller: str) -> None:
        """Count bytes that are written next, until `release_unsent`. Raises `ResponseMemoryFull`."""
        if self._lease is None:
            self._lease = memory.lease(caller)
        self._lease.grow(size_bytes)

    def release_unsent(self) -> None:
        """All bytes are written, or none is kept any more."""
        if self._lease is not None:
            self._lease.release()

    def enlarge_send_buffer(self) -> None:
        """Use the send buffer of large bodies until `restore_send_buffer`."""
        self._has_large_buffer = True
        self.set_option(_socket.SOL_SOCKET, _socket.SO_SNDBUF, value=self._server.bounds.large_body_buffer_bytes)

    def restore_send_buffer(self) -> None:
        """Use the usual send buffer again: a stream must notice a slow client early."""
        if self._has_large_buffer:
            self._has_large_buffer = False
            self.set_option(_socket.SOL_SOCKET, _socket.SO_SNDBUF, value=self._server.bounds.send_buffer_bytes)

    # Clients that stop reading

    def await_reading(self) -> None:
        """Set the stall deadline: until then the client must read the unsent bytes, or a part of them."""
        self._stalled_at_bytes = self.unsent_bytes
        self.expire_in(self._server.bounds.stall_timeout_s)

    def check_stalled(self) -> None:
        """The stall deadline has passed: reset the connection, unless the client has read `send_buffer_bytes`."""
        if self.unsent_bytes <= self._stalled_at_bytes - self._server.bounds.send_buffer_bytes:
            self.await_reading()
        else:
            self._server.metrics.stalled_readers += 1
            self.reset("stalled")
