"""Fixtures with a real Redis. A folder that needs them imports them in its `conftest.py`:

    from tests.stores.fixtures import redis, redis_server

    __all__ = ["redis", "redis_server"]

Each pytest-xdist worker starts its own server.
"""

from collections.abc import Iterator

import pytest

from tests.stores.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The session's server; tests use `redis`."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """The session's server, running and empty; tests may stop, kill and pause it."""
    redis_server.reset()
    return redis_server
