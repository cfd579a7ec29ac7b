"""`/health`, `/livez`, `/readyz`, `/metrics` and `/version`: outside keys and limits, answered until the end."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

import msgspec

from tokenfall import __version__
from tokenfall.edge.request import Request
from tokenfall.edge.response import Response
from tokenfall.errors import StoreUnavailable
from tokenfall.metrics import Metrics

Check = Callable[[], Awaitable[None]]

NOTHING: Mapping[str, Check] = {}
JSON = "application/json"
_UNCACHED = (("cache-control", "no-store"),)
_OK = Response(200, b"OK", content_type="text/plain; charset=utf-8", headers=_UNCACHED)
_VERSION = Response(200, msgspec.json.encode({"name": "tokenfall", "version": __version__}), content_type=JSON)


class Probes:
    """The handlers. `measured` gives the counters as they are now. `is_draining` and the checks are asked at each call.

    A check raises `StoreUnavailable`: of the `needed`, that no work can be done now; of the `wanted`, that it is done
    with less than was set.
    """

    def __init__(
        self,
        measured: Callable[[], Metrics],
        is_draining: Callable[[], bool],
        *,
        needed: Mapping[str, Check] = NOTHING,
        wanted: Mapping[str, Check] = NOTHING,
    ) -> None:
        self._measured = measured
        self._is_draining = is_draining
        self._needed = needed
        self._wanted = wanted
        self._started_s = monotonic()

    def health(self, request: Request) -> Response:
        """`OK` as text; JSON for who accepts it."""
        if b"application/json" not in request.headers.get(b"accept", b""):
            return _OK
        uptime_s = round(monotonic() - self._started_s, 3)
        return _json(200, {"status": "ok", "version": __version__, "uptime_s": uptime_s})

    def live(self, request: Request) -> Response:
        """The event loop turns: that is all that it says."""
        return _OK

    async def ready(self, request: Request) -> Response:
        """Whether new work is welcome, and what it has to do without."""
        if self._is_draining():
            return _json(503, {"status": "draining"})
        failing, degraded = await asyncio.gather(_failing(self._needed), _failing(self._wanted))
        if failing:
            return _json(503, {"status": "unavailable", "failing": failing + degraded})
        return _json(200, {"status": "degraded", "failing": degraded} if degraded else {"status": "ready"})

    def version(self, request: Request) -> Response:
        """Name and version."""
        return _VERSION

    def metrics(self, request: Request) -> Response:
        """Prometheus text."""
        from tokenfall.api.metrics import CONTENT_TYPE, exposition  # noqa: PLC0415 - loads prometheus-client

        return Response(200, exposition(self._measured()), content_type=CONTENT_TYPE, headers=_UNCACHED)


def resident_bytes() -> int:
    """Resident memory of this process, 0 where /proc does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def _failing(checks: Mapping[str, Check]) -> list[str]:
    """The names of those that fail; all are asked at once."""
    fails = await asyncio.gather(*(_fails(check) for check in checks.values()))
    return [name for name, failed in zip(checks, fails, strict=True) if failed]


async def _fails(check: Check) -> bool:
    try:
        await check()
    except StoreUnavailable:
        return True
    return False


def _json(status: int, document: Mapping[str, str | float | list[str]]) -> Response:
    return Response(status, msgspec.json.encode(document), content_type=JSON, headers=_UNCACHED)
