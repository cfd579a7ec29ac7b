"""Selects stores by their URLs. Redis and SQLite are imported only if configured, because each costs megabytes."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tokenfall.history.memory import MemoryHistory
from tokenfall.limits.memory import MemoryLimiter
from tokenfall.metrics.registry import Metrics, add
from tokenfall.ports import Clock, HistoryStore, RateLimiter, SharedTurns
from tokenfall.settings import Settings
from tokenfall.settings.fields import MEMORY
from tokenfall.settings.kinds import sqlite_path

if TYPE_CHECKING:
    from tokenfall.limits.fallback import FallbackLimiter
    from tokenfall.limits.shared import SharedTable


def history(settings: Settings, metrics: Metrics) -> HistoryStore:
    """The store of conversations."""
    url = settings.history
    if url == MEMORY:
        return MemoryHistory(limit=settings.history_limit, max_bytes=settings.history_memory)
    if url.startswith("sqlite:"):
        from tokenfall.history.sqlite import SQLiteHistory  # noqa: PLC0415

        return SQLiteHistory(sqlite_path(url), limit=settings.history_limit)
    from tokenfall.history.redis import RedisHistory  # noqa: PLC0415

    failed = partial(add, metrics.redis_failures, "history")
    return RedisHistory(url, limit=settings.history_limit, expire_s=settings.history_expiry, failed=failed)


def shared_turns(settings: Settings, clock: Clock, *, metrics: Metrics) -> SharedTurns | None:
    """The store that shares running turns with other processes, None for `memory://`."""
    if settings.turns == MEMORY:
        return None
    from tokenfall.turns.redis import RedisTurns  # noqa: PLC0415

    failed = partial(add, metrics.redis_failures, "turns")
    return RedisTurns(settings.turns, keep_s=settings.resume_for, clock=clock, failed=failed)


def local_limiter(settings: Settings, now: Callable[[], float], *, table: "SharedTable | None") -> RateLimiter:
    """The rate limiter of this machine; `table` is shared by its workers, None for a single process."""
    rate, burst = settings.rate_limit_rps, settings.rate_limit_burst
    if table is None:
        return MemoryLimiter(rate, burst, now=now)
    from tokenfall.limits.shared import SharedLimiter  # noqa: PLC0415

    return SharedLimiter(rate, burst, table=table, now=now)


def redis_limiter(
    settings: Settings, local: RateLimiter, *, now: Callable[[], float], metrics: Metrics
) -> "FallbackLimiter":
    """The rate limiter of all machines; falls back to `local` while Redis fails."""
    from tokenfall.limits.fallback import FallbackLimiter  # noqa: PLC0415
    from tokenfall.limits.redis import RedisLimiter  # noqa: PLC0415

    rate, burst = settings.rate_limit_rps, settings.rate_limit_burst
    primary = RedisLimiter(rate, burst, url=settings.limits)
    return FallbackLimiter(primary, local, now=now, failed=partial(add, metrics.redis_failures, "limits"))
