"""Logs a warning for each setting whose Redis does not respond at the start. The server starts nevertheless."""

from collections.abc import Mapping

from tokenfall import logs
from tokenfall.api.readiness import Check, failing
from tokenfall.settings import Settings

_log = logs.get(__name__)


async def warn_of_unavailable_redis(settings: Settings, checks: Mapping[str, Check]) -> None:
    """`checks` are those of `/readyz`: `history`, `limits` and `turns`."""
    failed = await failing({store: check for store, check in checks.items() if store in settings.redis_urls})
    for name in sorted({settings.redis_setting(store) for store in failed}):
        _log.warning("%s: this Redis does not respond; /readyz lists the failing stores", name)
