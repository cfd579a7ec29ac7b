"""A server in the test's event loop, for tests that check its internal state and that it releases its resources."""

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
    """A listening server and the resources that it uses."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self._descriptors = descriptors()
        self._tasks = asyncio.all_tasks()
        self.loop_errors: list[str] = []
        """Contexts passed to the loop's exception handler."""
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.loop_errors.append(repr(context)))

    def connections(self) -> list[Connection]:
        return self.server.http.connections

    def resources(self) -> dict[str, int]:
        """Return the resources in use beyond those at start; all values are 0 when the server is idle.

        The metrics sampler does not count: it stops by itself up to a second after the last client disconnected.
        """
        return {
            "connections": len(self.server.http.connections),
            "streams": self.server.metrics.streams,
            "on the wheel": self.server.wheel.entries - (self.server.sampling.slot is not None),
            "tasks": len([task for task in asyncio.all_tasks() - self._tasks if not task.done()]),
            "descriptors": descriptors() - self._descriptors,
        }

    async def wait_idle(self, *, within_s: float = PATIENCE_S) -> None:
        """Return once all resources are released."""
        await eventually(lambda: not any(self.resources().values()), self.resources, within_s=within_s)


async def eventually(holds: Callable[[], bool], shown: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Run the loop until `holds()` is true; after `within_s`, fail with `shown()`."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + within_s
    while not holds():
        assert loop.time() < until_s, shown()
        await asyncio.sleep(0.001)


@asynccontextmanager
async def running(*routes: Route, **settings: str) -> AsyncIterator[Running]:
    """Run a server with `settings` by environment name; at the end, stop it and check that it released everything.

    `routes` are served in addition to the server's own.
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
    # `embedded` skips the garbage collection at start, which takes long with all objects of the test process.
    server = ExtendedServer(load(texts), None, reactor=running_reactor(), json_logs=True, embedded=True)
    addresses = server.start()
    here = Running(server, addresses[0][1])
    try:
        yield here
    finally:
        await server.stop()
    await eventually(lambda: descriptors() <= before, lambda: f"{descriptors() - before} descriptors leaked")
    await eventually(lambda: asyncio.all_tasks() <= tasks, lambda: asyncio.all_tasks() - tasks)
    assert server.metrics.streams == 0
    assert here.loop_errors == []


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def held_bytes(connection: Connection) -> int:
    """Return the bytes of a connection's send queues in server and kernel, including the kernel's overhead."""
    copy = socket.socket(fileno=os.dup(connection.fd))
    with copy:
        counts = struct.unpack("9I", copy.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))
    return int(counts[_WMEM_QUEUED]) + connection.unsent_bytes
