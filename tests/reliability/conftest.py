"""Real processes, real stores, and a tally for each test."""

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
"""Hundreds of requests, one after the other, on a machine that may be busy."""
FULL_S = 900
"""Full counts, as a hundred times 500 streams."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_poller: of tests/end_to_end, whose cases are used here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            marker = item.get_closest_marker("row")
            is_long = marker is not None and marker.args == ("stalls",)
            item.add_marker(pytest.mark.timeout(FULL_S if FULL else LONG_S if is_long else TEST_S))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """What the test's row asks for; written to the page by a full run."""
    marker = request.node.get_closest_marker("row")
    tally = Tally(ROWS[marker.args[0]])
    yield tally
    if FULL:
        tally.write()


@pytest.fixture
def random(request: pytest.FixtureRequest) -> Random:
    """Chance that each run of a test finds again."""
    return Random(request.node.name)


@pytest.fixture
def lasting_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that has on the disk what it acknowledged."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder, append_only=True)
    yield server
    server.stop()
