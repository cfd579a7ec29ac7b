"""The rate limit of client addresses, and its HTTP headers.

Headers: draft-ietf-httpapi-ratelimit-headers-10 (`RateLimit`, `RateLimit-Policy`), `Retry-After` of RFC 9110.
"""

from __future__ import annotations

from math import ceil
from time import time

from tokenfall.api.guard import Callers
from tokenfall.errors import RateLimited
from tokenfall.http.encoding import header_lines
from tokenfall.http.request import Request
from tokenfall.metrics.registry import Metrics
from tokenfall.ports import RateLimiter
from tokenfall.wire.api_error import Headers, LimitState, no_headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Throttle:
    """Counts requests against the rate limit of the client's address and reports the remainder in response headers."""

    def __init__(self, limiter: RateLimiter, *, callers: Callers, metrics: Metrics) -> None:
        self._limiter = limiter
        self._callers = callers
        self._metrics = metrics
        window_s = max(1, ceil(limiter.burst / limiter.rate))
        self._policy = f'"address";q={limiter.burst};w={window_s}'

    async def spend(self, request: Request, limit_headers: Callable[[LimitState], Headers] = no_headers) -> None:
        """Count one request. Raises `RateLimited`. `limit_headers` makes a dialect's additional headers."""
        decision = await self._limiter.take(self._callers.address(request))
        wait_s = decision.reset_s if decision.allowed else decision.retry_after_s
        limit = f'"address";r={decision.remaining};t={ceil(wait_s)}'
        limit_state = LimitState(self._limiter.burst, decision.remaining, reset_s=wait_s, now_s=time())
        request.response_headers += header_lines(
            (("ratelimit-policy", self._policy), ("ratelimit", limit), *limit_headers(limit_state))
        )
        if not decision.allowed:
            self._metrics.rate_limited += 1
            raise RateLimited(
                f"more than {self._limiter.burst} at once or {self._limiter.rate:g} a second, by address",
                retry_after_s=decision.retry_after_s,
            )
