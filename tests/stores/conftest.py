"""Tests with real stores: a redis-server, and processes that share a SQLite file."""

from tests.stores.fixtures import redis, redis_server

__all__ = ["redis", "redis_server"]
