"""Tests with real stores: a redis-server, and processes that share a SQLite file."""

import pytest

pytest.register_assert_rewrite("tests.contracts.history", "tests.stores.redis_server")

from tests.stores.fixtures import redis, redis_server  # noqa: E402 - what is rewritten is imported afterwards

__all__ = ["redis", "redis_server"]
