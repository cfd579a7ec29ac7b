"""Listens, admits connections up to a cap, and drains them.

One `Edge` a process: what all connections share. It owns no signal handler and reads no setting.
"""

import asyncio
import logging
import resource
import socket
import struct
from time import gmtime, time

from tokenfall.edge.application import Application
from tokenfall.edge.bounds import Bounds
from tokenfall.edge.connection import Connection
from tokenfall.edge.head import HeadParser
from tokenfall.metrics import Metrics
from tokenfall.ports import Wheel

BACKLOG = 1_024
"""Connections that may wait to be accepted. asyncio's own loop accepts as many in one go, without a look at the
descriptors that are left, so there it gets fewer."""

SPARE_DESCRIPTORS = 64
"""Descriptors kept for what is not a client: the log, the stores, upstream connections' sockets while they open."""

MOST_DESCRIPTORS = 1_048_576
"""The kernel's own limit (fs.nr_open) where none is set for the process."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_log = logging.getLogger(__name__)


class Edge:
    """The HTTP server of one event loop."""

    def __init__(
        self,
        application: Application,
        *,
        wheel: Wheel,
        bounds: Bounds,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
        most_descriptors: int | None = None,
    ) -> None:
        """`most_descriptors`: how many the process may have; None raises its limit as far as it goes."""
        self.application = application
        self.wheel = wheel
        self.bounds = bounds
        self.metrics = metrics
        self.uncounted = Metrics()
        """Where streams are counted that nobody counts."""
        self.loop = loop
        self.heads = HeadParser(bounds)
        self.draining = False
        descriptors = raise_descriptor_limit() if most_descriptors is None else most_descriptors
        self.max_connections = min(bounds.max_connections, descriptors - SPARE_DESCRIPTORS)
        self._connections: set[Connection] = set()
        self._emptied: asyncio.Event = asyncio.Event()
        self._date_second = 0
        self._date_line = b""
        self._full_said_s = -1.0
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, *, reuse_port: bool = False) -> list[tuple[str, int]]:
        """Start to accept; the addresses listened on. Port 0 takes a free one. Raises OSError.

        `reuse_port`: share the port with other processes that do; the kernel deals connections out among them.
        """
        backlog = SPARE_DESCRIPTORS // 2 if isinstance(self.loop, asyncio.BaseEventLoop) else BACKLOG
        self._server = await self.loop.create_server(
            lambda: Connection(self),
            host,
            port,
            backlog=backlog,
            reuse_port=reuse_port or None,
            start_serving=False,
        )
        for listener in self._server.sockets:
            # Accepted sockets inherit it, so that a reader that stops costs kilobytes and no call a connection.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.bounds.send_buffer_bytes)
        await self._server.start_serving()
        return [listener.getsockname()[:2] for listener in self._server.sockets]

    async def drain(self, drain_s: float) -> None:
        """Close idle connections, let answers finish for up to `drain_s` seconds, cut the rest, stop listening.

        Meanwhile new requests still reach the application, which refuses them.
        """
        self.draining = True
        for connection in list(self._connections):
            connection.drain()
        if not await self._empty_within(drain_s):
            _log.warning("drain time is over: %d connections are cut", len(self._connections))
            for connection in list(self._connections):
                connection.cut()
            await self._empty_within(CUT_S)
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort("cut")

    async def _empty_within(self, seconds: float) -> bool:
        if not self._connections:
            return True
        self._emptied.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    # What connections call

    def admit(self, connection: Connection) -> bool:
        """Count the connection in; False when there are too many."""
        if len(self._connections) >= self.max_connections:
            self.metrics.connections_refused += 1
            now = self.wheel.now()
            if now - self._full_said_s >= 1:
                self._full_said_s = now
                _log.warning("connections are refused: %d are open, the most allowed", self.max_connections)
            return False
        self._connections.add(connection)
        self.metrics.connections = len(self._connections)
        return True

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)
        self.metrics.connections = len(self._connections)
        if not self._connections:
            self._emptied.set()

    def reset(self, transport: asyncio.Transport) -> None:
        """Close with RST, dropping what is unsent."""
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def date_line(self) -> bytes:
        """The Date header of this second; RFC 9110, section 6.6.1."""
        second = int(time())
        if second != self._date_second:
            self._date_second = second
            self._date_line = f"date: {http_date(second)}\r\n".encode()
        return self._date_line


CUT_S = 0.5
"""How long cut streams may take to say so and to be saved."""


def http_date(unix_s: float) -> str:
    """An IMF-fixdate, in English whatever the locale; RFC 9110, section 5.6.7."""
    t = gmtime(unix_s)
    clock = f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
    return f"{_WEEKDAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year} {clock} GMT"


def descriptor_limit() -> int:
    """How many descriptors the process may have as it is."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> int:
    """Ask for as many descriptors as are allowed; how many there are now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = MOST_DESCRIPTORS
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
