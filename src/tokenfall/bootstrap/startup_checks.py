"""Logs a warning for each setting whose Redis does not respond at the start. The server starts nevertheless."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from tokenfall import logs
from tokenfall.errors import StoreUnavailable
from tokenfall.settings import Settings

_log = logs.get(__name__)


async def warn_of_unavailable_redis(settings: Settings, checks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
    """`checks` are those of `/readyz`: `history`, `limits` and `turns`."""
    urls = {"history": settings.history, "limits": settings.limits, "turns": settings.turns}
    in_redis = [name for name in checks if urls[name].startswith("redis")]
    failed = await asyncio.gather(*(_fails(checks[name]) for name in in_redis))
    named = {
        "REDIS_URL" if urls[name] == settings.redis_url else f"{name.upper()}_URL"
        for name, has_failed in zip(in_redis, failed, strict=True)
        if has_failed
    }
    for name in sorted(named):
        _log.warning("%s: this Redis does not respond; /readyz lists the failing stores", name)


async def _fails(check: Callable[[], Awaitable[None]]) -> bool:
    try:
        await check()
    except StoreUnavailable:
        return True
    return False
