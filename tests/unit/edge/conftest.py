"""An edge without a network, on a wheel that the test turns."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tokenfall.edge.bounds import Bounds
from tokenfall.edge.connection import PROBES_S
from tokenfall.edge.server import Edge
from tokenfall.metrics import Metrics

from tests.doubles.clocks import FakeWheel
from tests.doubles.transports import FakeApplication, FakeClient, WheelLoop, settle

Connect = Callable[[], FakeClient]

BOUNDS = Bounds(max_connections=8, max_body_bytes=1_000, pipeline_bytes=500, send_buffer_bytes=4_096)


@pytest.fixture
def application() -> FakeApplication:
    return FakeApplication()


@pytest.fixture
def wheel() -> FakeWheel:
    return FakeWheel()


@pytest.fixture
async def edge(application: FakeApplication, wheel: FakeWheel) -> Edge:
    return Edge(application, wheel=wheel, bounds=BOUNDS, metrics=Metrics(), loop=WheelLoop(wheel).as_loop())


@pytest.fixture
async def connect(edge: Edge, wheel: FakeWheel) -> AsyncIterator[Connect]:
    """Makes clients; when they have all left, nothing of them may remain."""
    clients: list[FakeClient] = []

    def connect_one() -> FakeClient:
        clients.append(FakeClient(edge))
        return clients[-1]

    yield connect_one
    for client in clients:
        client.transport.lose()
    await settle()
    for client in clients:
        client.transport.free()
    wheel.advance(max(PROBES_S) + BOUNDS.half_close_grace_s)
    assert (edge.metrics.connections, edge.metrics.streams, wheel.waiting) == (0, 0, {})
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def client(connect: Connect) -> FakeClient:
    return connect()
