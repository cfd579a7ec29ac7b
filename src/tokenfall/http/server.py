"""The HTTP server: listens, accepts connections up to a limit, and drains them.

One `HTTPServer` per process, created by `bootstrap`. It holds the state shared by all connections. It must not handle
signals or read settings.
"""

import _socket  # the C module: `socket` imports enum and selectors
import resource
from sys import intern
from time import gmtime, time

from tokenfall import logs
from tokenfall.http.body_memory import BodyMemory
from tokenfall.http.connection import Connection
from tokenfall.http.head import HeadParser
from tokenfall.http.loader import Loader
from tokenfall.memory.shares import MemoryShares
from tokenfall.metrics.registry import Metrics
from tokenfall.reactor.listener import Listener, bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.http.application import Application
    from tokenfall.http.bounds import Bounds
    from tokenfall.reactor.loop import Reactor

SPARE_DESCRIPTORS = 64
"""Descriptors reserved for everything but clients: the log, the stores, upstream sockets while they connect."""

MAX_DESCRIPTORS = 1_048_576
"""The kernel's limit (fs.nr_open), used if the process has none."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_log = logs.get(__name__)


class HTTPServer:
    """The HTTP server of one reactor."""

    def __init__(
        self,
        application: "Application",
        *,
        reactor: "Reactor",
        bounds: "Bounds",
        metrics: Metrics,
        request_memory: MemoryShares,
        max_descriptors: int | None = None,
    ) -> None:
        """`request_memory`: for bodies that are being received or handled.

        `max_descriptors`: the process's descriptor limit; None raises it to the hard limit.
        """
        self.application = application
        self.reactor = reactor
        self.wheel = reactor.wheel
        self.bounds = bounds
        self.metrics = metrics
        self.uncounted = Metrics()
        """Discarded counters, for streams that the metrics do not include."""
        self.heads = HeadParser(bounds)
        self.loader = Loader(reactor)
        self.bodies = BodyMemory(request_memory)
        self.draining = False
        descriptors = raise_descriptor_limit() if max_descriptors is None else max_descriptors
        self.max_connections = min(bounds.max_connections, descriptors - SPARE_DESCRIPTORS)
        self._open = 0
        """Number of open connections, including those that are being refused."""
        self._listeners: list[Listener] = []
        self._on_empty: Callable[[], None] | None = None
        self.on_first_client: Callable[[], None] | None = None
        """Called whenever a connection is opened and there was none."""
        self._date_second = 0
        self._date_line = b""
        self._refusal_logged_s = -1.0

    def listen(self, host: str, port: int, *, reuse_port: bool = False) -> list[tuple[str, int]]:
        """Start to accept; return the bound addresses. Port 0 selects a free port. Raises OSError.

        `reuse_port`: SO_REUSEPORT, so that the kernel distributes connections among the processes of the port.
        """
        bound = bind(host, port, reuse_port=reuse_port)
        listening: list[Listener] = []
        try:
            addresses = [sock.getsockname()[:2] for sock in bound]
            for sock in bound:
                # Accepted sockets inherit these options, which saves system calls per connection.
                sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, self.bounds.send_buffer_bytes)
                sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
                listening.append(Listener(self.reactor, sock, accepted=self._accepted))
        except BaseException:
            for listener in listening:
                listener.close()
            for sock in bound[len(listening) :]:
                sock.close()
            raise
        self._listeners += listening
        return addresses

    def _accepted(self, fd: int, peer: str) -> None:
        Connection(self, fd, peer=intern(peer))  # one string for all connections of a client

    def drain(self, drain_s: float, drained: "Callable[[], None]") -> None:
        """Close idle connections, let responses finish for up to `drain_s` seconds, end the others, stop listening.

        `drained` is called in a turn of the reactor once no connection is left. Until then new requests still reach
        the application, which refuses them.
        """
        self.draining = True
        for connection in self.connections:
            connection.drain()
        self._empty_within(drain_s, lambda is_empty: self._after_drain(drained, is_empty=is_empty))

    def _after_drain(self, drained: "Callable[[], None]", *, is_empty: bool) -> None:
        if is_empty:
            self._close(drained)
            return
        connections = self.connections
        _log.warning("drain time is over: cutting %d connections", len(connections))
        for connection in connections:
            connection.cut()
        self._empty_within(CUT_S, lambda _: self._close(drained))

    def close(self) -> None:
        """Stop listening, and reset all connections."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in self.connections:
            connection.reset("cut")

    @property
    def connections(self) -> list[Connection]:
        """All open connections. They are not stored in a separate collection, which would take 33 bytes per stream."""
        return [each for each in self.reactor.handlers if isinstance(each, Connection) and each.belongs_to(self)]

    def _close(self, drained: "Callable[[], None]") -> None:
        self.close()
        drained()

    def _empty_within(self, seconds: float, then: "Callable[[bool], None]") -> None:
        """Call `then(True)` once no connection is left, or `then(False)` after `seconds`."""
        pending = True

        def end(is_empty: bool) -> None:
            nonlocal pending
            if pending:  # the timeout may fire in the turn in which the last connection closes
                pending = False
                self._on_empty = None
                self.wheel.cancel(timer)
                then(is_empty)

        timer = self.reactor.call_at(self.wheel.now() + seconds, lambda: end(False))
        if self._open:
            self._on_empty = lambda: end(True)
        else:
            self.reactor.call_soon(lambda: end(True))

    # Called by connections

    def admit(self) -> bool:
        """Count a new connection; False if there are too many, and it must be refused."""
        self._open += 1
        self.metrics.connections = self._open
        if self._open > self.max_connections:
            self.metrics.connections_refused += 1
            now = self.wheel.now()
            if now - self._refusal_logged_s >= 1:
                self._refusal_logged_s = now
                _log.warning("refusing connections: limit of %d open connections reached", self.max_connections)
            return False
        if self._open == 1 and self.on_first_client is not None:
            self.on_first_client()
        return True

    def connection_closed(self) -> None:
        """Called once for each connection."""
        self._open -= 1
        self.metrics.connections = self._open
        if not self._open and self._on_empty is not None:
            self.reactor.call_soon(self._on_empty)
            self._on_empty = None

    def date_line(self) -> bytes:
        """The Date header line, encoded once per second; RFC 9110, section 6.6.1."""
        second = int(time())
        if second != self._date_second:
            self._date_second = second
            self._date_line = f"date: {http_date(second)}\r\n".encode()
        return self._date_line


CUT_S = 0.5
"""How long streams may take to send their shutdown frames, and turns to be stored, after the drain time."""


def http_date(unix_s: float) -> str:
    """An IMF-fixdate, in English regardless of the locale; RFC 9110, section 5.6.7."""
    t = gmtime(unix_s)
    clock = f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
    return f"{_WEEKDAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year} {clock} GMT"


def descriptor_limit() -> int:
    """The process's current (soft) descriptor limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> int:
    """Raise the soft descriptor limit to the hard limit; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = MAX_DESCRIPTORS
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
