"""`/readyz` for a server with stores to check. Imports asyncio, so a server without stores never imports it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from tokenfall.api.documents import document
from tokenfall.errors import StoreUnavailable
from tokenfall.http.response import Response

Check = Callable[[], Awaitable[None]]


async def checked(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Response:
    """503 if one of `required` fails, else 200 with the names of the failed `optional` ones. They run concurrently."""
    unavailable, degraded = await asyncio.gather(failing(required), failing(optional))
    if unavailable:
        body = msgspec.json.encode({"status": "unavailable", "failing": unavailable + degraded})
        return document(body, status=503)
    state = {"status": "degraded", "failing": degraded} if degraded else {"status": "ready"}
    return document(msgspec.json.encode(state))


async def failing(checks: Mapping[str, Check]) -> list[str]:
    """The names of the failed checks, which run concurrently."""
    fails = await asyncio.gather(*(_fails(check) for check in checks.values()))
    return [name for name, failed in zip(checks, fails, strict=True) if failed]


async def _fails(check: Check) -> bool:
    try:
        await check()
    except StoreUnavailable:
        return True
    return False
