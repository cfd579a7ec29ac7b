"""A server inside the test's own event loop, for what only its inside can show: that nothing is left."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tokenfall.api.routing import Route
from tokenfall.bootstrap import Server
from tokenfall.http.connection import Connection
from tokenfall.http.server import raise_descriptor_limit
from tokenfall.settings import load

from tests.doubles.loops import running_reactor
from tests.end_to_end.client import PATIENCE_S

_SO_MEMINFO = 55
_WMEM_QUEUED = 5


class Running:
    """A server that listens, and what it holds."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self._descriptors = descriptors()
        self._tasks = asyncio.all_tasks()
        self.loop_errors: list[str] = []
        """What the loop had to say of exceptions that nobody caught."""
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.loop_errors.append(repr(context)))

    def connections(self) -> list[Connection]:
        return self.server.http.connections

    def resources(self) -> dict[str, int]:
        """What the server holds beyond what it held when it began to listen; all zero at rest.

        The sampling of the metrics is left out: it ends by itself, up to a second after the last client has left.
        """
        return {
            "connections": len(self.server.http.connections),
            "streams": self.server.metrics.streams,
            "on the wheel": self.server.wheel.entries - (self.server.sampling.slot is not None),
            "tasks": len([task for task in asyncio.all_tasks() - self._tasks if not task.done()]),
            "descriptors": descriptors() - self._descriptors,
        }

    async def wait_idle(self, *, within_s: float = PATIENCE_S) -> None:
        """Return once nothing is held any more."""
        await eventually(lambda: not any(self.resources().values()), self.resources, within_s=within_s)


async def eventually(holds: Callable[[], bool], shown: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Give the loop turns until `holds()` is true; fails with the text of `shown`."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + within_s
    while not holds():
        assert loop.time() < until_s, shown()
        await asyncio.sleep(0.001)


@asynccontextmanager
async def running(*routes: Route, **settings: str) -> AsyncIterator[Running]:
    """A server with the settings' environment names as keywords, stopped at the end and then found empty.

    `routes` are added to its own.
    """

    class ExtendedServer(Server):
        def routes(self) -> list[Route]:
            return [*super().routes(), *routes]

    tasks = asyncio.all_tasks()
    before = descriptors()
    texts = {
        "PORT": "0",
        "RATE_LIMIT_RPS": "0",
        "DRAIN_TIMEOUT": "100ms",
        "UPSTREAM_WARM": "0",
        "MODEL": "m",
    } | settings
    raise_descriptor_limit()
    # A guest does not collect and freeze all objects at its start: those of the tests take most of a test's time.
    server = ExtendedServer(load(texts), None, reactor=running_reactor(), json_logs=True, embedded=True)
    addresses = server.start()
    here = Running(server, addresses[0][1])
    try:
        yield here
    finally:
        await server.stop()
    await eventually(lambda: descriptors() <= before, lambda: f"{descriptors() - before} descriptors are left")
    await eventually(lambda: asyncio.all_tasks() <= tasks, lambda: asyncio.all_tasks() - tasks)
    assert server.metrics.streams == 0
    assert here.loop_errors == []


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def held_bytes(connection: Connection) -> int:
    """What the kernel and the server hold unsent or unread-by-the-peer for a connection, with their overhead."""
    copy = socket.socket(fileno=os.dup(connection.fd))
    with copy:
        counts = struct.unpack("9I", copy.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))
    return int(counts[_WMEM_QUEUED]) + connection.unsent_bytes
