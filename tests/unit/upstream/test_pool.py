from collections.abc import AsyncIterator

import pytest

from tokenfall.errors import ShuttingDown
from tokenfall.upstream import pool as module
from tokenfall.upstream.connection import UpstreamConnection
from tokenfall.upstream.pool import Pool

from tests.doubles.exchanges import RecordedExchange
from tests.doubles.loops import running_reactor
from tests.doubles.upstream_connections import REQUEST, tcp_pair
from tests.end_to_end.in_process import eventually


class Harness:
    """A pool and the peers of its connections."""

    def __init__(self) -> None:
        self.pool = Pool(running_reactor().wheel.now)
        self.opened: list[UpstreamConnection] = []
        self.peers: dict[UpstreamConnection, object] = {}

    def open(self, *, idle: bool = True) -> UpstreamConnection:
        client_socket, peer = tcp_pair()
        client_socket.setblocking(False)
        connection = UpstreamConnection(running_reactor(), client_socket.detach(), owner=self.pool)
        self.peers[connection] = peer
        self.pool.add(connection)
        if idle:
            self.pool.connection_idle(connection)
        self.opened.append(connection)
        return connection


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    made = Harness()
    yield made
    made.pool.close()
    for connection, peer in made.peers.items():
        peer.close()  # type: ignore[attr-defined]
        assert connection.fd == -1


async def test_pool_is_lifo(harness: Harness) -> None:
    first, second, third = harness.open(), harness.open(), harness.open()
    assert len(harness.pool) == 3
    assert harness.pool.take() is third
    harness.pool.connection_idle(third)
    harness.pool.connection_idle(third)

    assert [harness.pool.take() for _ in range(4)] == [third, second, first, None]


async def test_idle_connection_is_marked_as_possibly_stale(harness: Harness) -> None:
    assert not harness.open(idle=False).was_idle
    assert harness.open().was_idle


async def test_idle_connections_over_the_limit_are_closed(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IDLE", 2)
    opened = [harness.open() for _ in range(3)]

    assert [connection.fd >= 0 for connection in opened] == [True, True, False]
    assert len(harness.pool) == 2


async def test_connection_is_closed_after_the_idle_timeout(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.05)
    connection = harness.open()
    await eventually(lambda: connection.fd < 0, lambda: "the connection is open")

    assert harness.pool.take() is None


async def test_request_clears_the_idle_timeout(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.05)
    waiting, busy = harness.open(), harness.open()
    assert harness.pool.take() is busy
    exchange = RecordedExchange()
    exchange.begin()
    done = exchange.end
    busy.send(REQUEST, exchange)
    await eventually(lambda: waiting.fd < 0, lambda: "the connection is open")

    assert (busy.fd >= 0, done.done()) == (True, False)
    exchange.finish()


async def test_connection_closed_by_the_server_is_not_taken(harness: Harness) -> None:
    pooled, closed = harness.open(), harness.open()
    harness.peers[closed].close()  # type: ignore[attr-defined]
    await eventually(lambda: closed.fd < 0, lambda: "the connection is open")

    assert [harness.pool.take(), harness.pool.take()] == [pooled, None]


async def test_close_fails_requests_in_progress_and_later_connections_are_not_pooled(harness: Harness) -> None:
    idle, busy = harness.open(), harness.open(idle=False)
    exchange = RecordedExchange()
    exchange.begin()
    done = exchange.end
    busy.send(REQUEST, exchange)
    harness.pool.close()
    with pytest.raises(ShuttingDown):
        await done
    late = harness.open()

    assert (idle.fd, busy.fd, late.fd) == (-1, -1, -1)
    assert harness.pool.take() is None
