"""A connected stream socket on the reactor: reading, writing, flow control and closing. Base of HTTP and upstream
connections.

| state | reads | writes | next states |
|---|---|---|---|
| open | unless paused | yes | half-closed at the peer's FIN; shut by `shut_write`; closing by `close`; closed |
| half-closed | no | yes | closing by `close`; closed |
| shut | unless paused | no: a FIN follows the unsent bytes | closed at the peer's FIN, or by `close` |
| closing | no | only the unsent bytes | closed once they are written |
| closed | no | no | |

Every state changes to closed on `abort` (RST), on a hang-up of the peer and on an error of the socket.
`connection_lost` is the last callback, called once, in the turn in which the socket closes.
"""

import _socket  # the C module: `socket` imports enum and selectors
import os
from sys import byteorder

from tokenfall.reactor.deadlines import Deadlined
from tokenfall.reactor.poller import HANGUP, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.reactor.loop import Reactor

READ_BYTES = 65_536
FLUSH_BYTES = 1_048_576
"""How much unsent data is written in one turn of the loop, so that one fast client does not block it."""

_RESET_ON_CLOSE = (1).to_bytes(4, byteorder) + bytes(4)  # struct linger: on, for 0 seconds

_PAUSED, _EOF, _SHUT, _CLOSING, _BROKEN = 1, 2, 4, 8, 16


class StreamSocket(Deadlined):
    """Owns `fd`, a connected non-blocking socket. A subclass implements the callbacks."""

    __slots__ = ("_flags", "_mask", "_unsent", "fd", "paused", "reactor")

    def __init__(self, reactor: "Reactor", fd: int) -> None:
        super().__init__(reactor.wheel)
        self.reactor = reactor
        self.fd = fd
        """-1 once closed."""
        self._flags = 0
        self._mask = READ
        self._unsent: list[bytes | memoryview] | None = None
        self.paused = False
        """Whether unsent bytes are buffered."""
        reactor.add(fd, self)

    @property
    def urgent(self) -> bool:
        """See `Handler`."""
        raise NotImplementedError

    # Callbacks

    def data_received(self, data: bytes) -> None:
        """Received bytes: 1 to `READ_BYTES`."""
        raise NotImplementedError

    def eof_received(self) -> bool:
        """The peer half-closed the connection. Return True to keep it open for writing."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        """The kernel did not accept all bytes; `paused` until it has."""
        raise NotImplementedError

    def resume_writing(self) -> None:
        """The kernel has accepted all bytes."""
        raise NotImplementedError

    def connection_lost(self) -> None:
        """The socket is closed, by either side."""
        raise NotImplementedError

    # Writing

    @property
    def unsent_bytes(self) -> int:
        """Size of the buffered unsent bytes."""
        return 0 if self._unsent is None else sum(map(len, self._unsent))

    def write(self, data: "bytes | memoryview") -> None:
        """Write the bytes that the kernel accepts now, and buffer the others without copying them."""
        if self.fd < 0 or self._flags & (_SHUT | _CLOSING | _BROKEN):
            return
        if self._unsent is not None:
            self._unsent.append(data)
            return
        try:
            sent = os.write(self.fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # `connection_lost` must not be called inside the caller's code, so it follows at the end of the turn.
            self._flags |= _BROKEN
            self.reactor.call_soon(self._close_now)
            return
        if sent != len(data):
            self.keep_unsent(memoryview(data)[sent:] if sent else data)

    def keep_unsent(self, data: "bytes | memoryview") -> None:
        """Buffer `data` that the kernel did not accept, to be sent first. The buffer must be empty."""
        self._unsent = [data]
        self.paused = True
        self._set_mask(self._mask | WRITE)
        self.pause_writing()

    def shut_write(self) -> None:
        """Send a FIN after the unsent bytes; later writes are ignored."""
        self._flags |= _SHUT
        if self._unsent is None:
            self._shut()

    # Reading

    def pause_reading(self) -> None:
        self._flags |= _PAUSED
        self._set_mask(self._mask & ~READ)

    def resume_reading(self) -> None:
        self._flags &= ~_PAUSED
        if not self._flags & (_EOF | _CLOSING):
            self._set_mask(self._mask | READ)

    # Closing

    def close(self) -> None:
        """Stop reading, and close once the unsent bytes are written."""
        if self.fd < 0:
            return
        if self._unsent is None:
            self._close_now()
        else:
            self._flags |= _CLOSING
            self._set_mask(self._mask & ~READ)

    def abort(self) -> None:
        """Close with a RST, dropping the unsent bytes."""
        if self.fd >= 0:
            self.set_option(_socket.SOL_SOCKET, _socket.SO_LINGER, value=_RESET_ON_CLOSE)
            self._close_now()

    def set_option(self, level: int, name: int, *, value: "int | bytes") -> None:
        """`setsockopt`; ignored if the peer has reset the socket."""
        self._call(lambda sock: sock.setsockopt(level, name, value))

    # Called by the reactor

    def ready(self, mask: int) -> None:
        if mask & ~WRITE:
            if self._mask & READ:
                try:
                    data = os.read(self.fd, READ_BYTES)
                except BlockingIOError:
                    pass
                except OSError:
                    self._close_now()
                else:
                    if data:
                        self.data_received(data)
                    else:
                        self._end_reading()
            elif mask & HANGUP and self.fd >= 0:
                self._close_now()
        if mask & WRITE and self._unsent is not None and self.fd >= 0:
            self._flush()

    def _end_reading(self) -> None:
        """The peer has sent a FIN."""
        self._flags |= _EOF
        self._set_mask(self._mask & ~READ)
        if not self.eof_received():
            self.close()

    def _flush(self) -> None:
        """Write the unsent bytes that the kernel accepts."""
        unsent = self._unsent
        left = FLUSH_BYTES
        while unsent:
            data = unsent[0]
            try:
                sent = os.write(self.fd, data[:left] if len(data) > left else data)
            except BlockingIOError:
                return
            except OSError:
                self._close_now()
                return
            left -= sent
            if sent == len(data):
                del unsent[0]
            else:
                unsent[0] = memoryview(data)[sent:]
            if left <= 0 and unsent:
                return
        self._unsent = None
        self.paused = False
        self._set_mask(self._mask & ~WRITE)
        if self._flags & _CLOSING:
            self._close_now()
        elif self._flags & _SHUT:
            self._shut()
        else:
            self.resume_writing()

    def _set_mask(self, mask: int) -> None:
        if self.fd >= 0 and mask != self._mask:
            self._mask = mask
            self.reactor.change(self.fd, mask)

    def _shut(self) -> None:
        self._call(lambda sock: sock.shutdown(_socket.SHUT_WR))

    def _call(self, call: "Callable[[_socket.socket], object]") -> None:
        """Call a method of a socket object. Errors are ignored: the next read reports a closed peer."""
        if self.fd < 0:
            return
        try:
            sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0, self.fd)
        except OSError:
            return
        try:
            call(sock)
        except OSError:
            pass
        finally:
            sock.detach()

    def _close_now(self) -> None:
        """Close the descriptor and call `connection_lost`, the last callback."""
        fd = self.fd
        if fd < 0:
            return
        self.fd = -1
        self._unsent = None
        self.paused = False
        self.reactor.remove(fd)
        os.close(fd)
        self.connection_lost()
