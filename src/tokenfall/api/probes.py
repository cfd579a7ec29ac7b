"""`/health`, `/livez`, `/readyz`, `/metrics` and `/version`: no API key, no rate limit, also served while draining."""

from __future__ import annotations

import os
from time import monotonic

from tokenfall import __version__
from tokenfall.http.loadable import THREADING, Modules
from tokenfall.http.response import Response
from tokenfall.json_text import flat_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from typing import Any

    from tokenfall.api.metrics_vllm import VLLMMetrics
    from tokenfall.http.request import Request
    from tokenfall.metrics.registry import Metrics

    Check = Callable[[], Awaitable[None]]


METRICS = Modules("tokenfall.api.metrics", after=THREADING)
"""Modules that the first scrape needs."""

_NO_CHECKS: dict[str, Check] = {}
JSON = "application/json"
_UNCACHED = (("cache-control", "no-store"),)
_OK = Response(200, b"OK", content_type="text/plain; charset=utf-8", headers=_UNCACHED)
_VERSION = Response(200, flat_object({"name": "tokenfall", "version": __version__}), content_type=JSON)


class Probes:
    """The handlers. `measured` returns the current metrics. Every callable is called at each request.

    A check fails with `StoreUnavailable`. If one of `required` fails, the server cannot work now; if one of `optional`
    fails, it works with less than configured. `vllm` has additional metrics for `/metrics`.
    """

    def __init__(
        self,
        measured: Callable[[], Metrics],
        is_draining: Callable[[], bool],
        *,
        required: Mapping[str, Check] = _NO_CHECKS,
        optional: Mapping[str, Check] = _NO_CHECKS,
        vllm: VLLMMetrics | None = None,
    ) -> None:
        self._measured = measured
        self._is_draining = is_draining
        self._required = required
        self._optional = optional
        self._vllm = vllm
        self._started_s = monotonic()

    def health(self, request: Request) -> Response:
        """`OK` as text; JSON if the client accepts it."""
        if b"application/json" not in request.headers.get(b"accept", b""):
            return _OK
        uptime_s = round(monotonic() - self._started_s, 3)
        body = b'{"status":"ok","version":"%b","uptime_s":%b}' % (__version__.encode(), str(uptime_s).encode())
        return Response(200, body, content_type=JSON, headers=_UNCACHED)

    def live(self, request: Request) -> Response:
        """`OK`: any response means that the event loop runs."""
        return _OK

    def ready(self, request: Request) -> Response | Coroutine[Any, Any, Response]:
        """Whether the server accepts new work, and which checks fail."""
        if self._is_draining():
            return _json(503, {"status": "draining"})
        if not self._required and not self._optional:
            return _json(200, {"status": "ready"})
        from tokenfall.api.readiness import checked  # noqa: PLC0415 - imports asyncio

        return checked(self._required, self._optional)

    def version(self, request: Request) -> Response:
        """Name and version."""
        return _VERSION

    def metrics(self, request: Request) -> Response:
        """Prometheus text."""
        from tokenfall.api.exposition import CONTENT_TYPE  # noqa: PLC0415 - see `METRICS`
        from tokenfall.api.metrics import scraped  # noqa: PLC0415 - see `METRICS`

        return Response(200, scraped(self._measured(), vllm=self._vllm), content_type=CONTENT_TYPE, headers=_UNCACHED)


def resident_bytes() -> int:
    """Resident memory of this process, 0 if /proc is not available."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _json(status: int, document: dict[str, str | int]) -> Response:
    return Response(status, flat_object(document), content_type=JSON, headers=_UNCACHED)
