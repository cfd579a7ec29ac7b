"""Tests with a real redis-server and with processes that share a SQLite file."""

from tests.stores.fixtures import redis, redis_server

__all__ = ["redis", "redis_server"]
