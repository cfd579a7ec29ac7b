"""An HTTP server without a network, on a fake wheel."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tokenfall.http.bounds import Bounds
from tokenfall.http.half_closed import PROBES_S
from tokenfall.http.loadable import LIVE
from tokenfall.http.server import CUT_S, HTTPServer
from tokenfall.memory.shares import MemoryShares
from tokenfall.metrics.registry import Metrics

from tests.doubles.clocks import FakeWheel
from tests.doubles.connections import FakeApplication, FakeClient, FakeReactor, settle

Connect = Callable[[], FakeClient]

LIVE.load()

BOUNDS = Bounds(max_connections=8, max_body_bytes=1_000, pipeline_bytes=500, send_buffer_bytes=4_096)


@pytest.fixture
def application() -> FakeApplication:
    return FakeApplication()


@pytest.fixture
def wheel() -> FakeWheel:
    return FakeWheel()


@pytest.fixture
async def server(application: FakeApplication, wheel: FakeWheel) -> HTTPServer:
    reactor, memory = FakeReactor(wheel).as_reactor(), MemoryShares(2**26)
    return HTTPServer(application, reactor=reactor, bounds=BOUNDS, metrics=Metrics(), request_memory=memory)


@pytest.fixture
async def connect(server: HTTPServer, wheel: FakeWheel) -> AsyncIterator[Connect]:
    """Creates clients and asserts after the test that none of their state remains."""
    clients: list[FakeClient] = []

    def connect_one() -> FakeClient:
        clients.append(FakeClient(server))
        return clients[-1]

    yield connect_one
    for client in clients:
        client.close()
    await settle()
    wheel.advance(max(PROBES_S) + BOUNDS.half_close_grace_s)
    assert (server.metrics.connections, server.metrics.streams, server.bodies.held_bytes, wheel.waiting) == (
        0,
        0,
        0,
        {},
    )
    assert asyncio.all_tasks() == {asyncio.current_task()}


Drain = Callable[[float], Awaitable[asyncio.Event]]


@pytest.fixture
async def drain(server: HTTPServer, wheel: FakeWheel) -> Drain:
    """Starts the drain, waits for the drain time and the cut, and returns the event that is set at the end."""

    async def drain_for(seconds: float) -> asyncio.Event:
        drained = asyncio.Event()
        server.drain(seconds, drained.set)
        for passes_s in (seconds, CUT_S):
            await settle()
            if not drained.is_set():
                wheel.advance(passes_s)
        await settle()
        return drained

    return drain_for


@pytest.fixture
async def client(connect: Connect) -> FakeClient:
    return connect()
