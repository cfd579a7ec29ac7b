"""Logs a warning for each setting whose Redis does not respond at the start. The server starts nevertheless."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from tokenfall import logs
from tokenfall.errors import StoreUnavailable
from tokenfall.settings import Settings

_log = logs.get(__name__)


async def warn_of_unavailable_redis(settings: Settings, checks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
    """`checks` are those of `/readyz`: `history`, `limits` and `turns`."""
    in_redis = [store for store in checks if store in settings.redis_urls]
    failed = await asyncio.gather(*(_fails(checks[store]) for store in in_redis))
    named = {settings.redis_setting(store) for store, has_failed in zip(in_redis, failed, strict=True) if has_failed}
    for name in sorted(named):
        _log.warning("%s: this Redis does not respond; /readyz lists the failing stores", name)


async def _fails(check: Callable[[], Awaitable[None]]) -> bool:
    try:
        await check()
    except StoreUnavailable:
        return True
    return False
