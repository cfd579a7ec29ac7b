"""Fixtures of the fault injection tests: real server processes, a real Redis, and a tally for each test."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.conftest import pytest_asyncio_loop_factories, serve
from tests.reliability.rows import FULL, ROWS, Tally
from tests.stores.fixtures import redis, redis_server
from tests.stores.redis_server import RedisServer

__all__ = ["pytest_asyncio_loop_factories", "redis", "redis_server", "serve"]

HERE = Path(__file__).parent
TEST_S = 60
LONG_S = 240
"""The timeout of a test with hundreds of sequential requests, on a loaded machine."""
FULL_S = 900
"""The timeout with full counts."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_poller: mark of tests/end_to_end, whose cases are reused here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            marker = item.get_closest_marker("row")
            is_long = marker is not None and marker.args == ("stalls",)
            item.add_marker(pytest.mark.timeout(FULL_S if FULL else LONG_S if is_long else TEST_S))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The repetitions that the test's row requires. A full run writes the result to the page."""
    marker = request.node.get_closest_marker("row")
    tally = Tally(ROWS[marker.args[0]])
    yield tally
    if FULL:
        tally.write()


@pytest.fixture
def random(request: pytest.FixtureRequest) -> Random:
    """A generator seeded with the test's name, so that runs are reproducible."""
    return Random(request.node.name)


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that syncs every write before it replies (`appendfsync always`)."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder, append_only=True)
    yield server
    server.stop()
