"""A limiter with a fallback: uses the shared limiter while it works, else one of the process. Every request is limited.

While the shared limiter fails, no request waits for it: a single background task checks it.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from tokenfall import logs
from tokenfall.errors import StoreUnavailable
from tokenfall.ports import RateLimiter
from tokenfall.rate_limit import LimitDecision

RETRY_S = 1.0

log = logs.get(__name__)


class RemoteLimiter(RateLimiter, Protocol):
    """A limiter that can fail: `take` raises `StoreUnavailable`."""

    async def check(self) -> None:
        """Return if `take` works now. Raises `StoreUnavailable`."""
        ...

    async def close(self) -> None:
        """Release all resources. No method may be called afterwards."""
        ...


class FallbackLimiter:
    """Uses `primary` while it works, else `local`. Owns `primary`; `now` returns monotonic seconds.

    After a failure `primary` is not used for `retry_s`; the next `take` then starts a check in the background, until a
    check succeeds. The two limiters do not share state: a switch may allow a client one additional burst. `failed` is
    called for each failed take and check.
    """

    def __init__(
        self,
        primary: RemoteLimiter,
        local: RateLimiter,
        *,
        now: Callable[[], float],
        failed: Callable[[], None] = lambda: None,
        retry_s: float = RETRY_S,
    ) -> None:
        self.rate = primary.rate
        self.burst = primary.burst
        self._primary = primary
        self._local = local
        self._now = now
        self._retry_s = retry_s
        self._failed = failed
        self.degraded = False
        """Whether `local` is in use."""
        self._probe: asyncio.Task[None] | None = None
        self._probe_at = 0.0

    async def take(self, client: str) -> LimitDecision:
        if self.degraded:
            self._probe_when_due()
            return await self._local.take(client)
        try:
            return await self._primary.take(client)
        except StoreUnavailable:
            self._failed()
            self._degrade()
            return await self._local.take(client)

    async def check(self) -> None:
        """Raises `StoreUnavailable` while `local` is in use; starts the background check if it is due, as `take`."""
        if self.degraded:
            self._probe_when_due()
            raise StoreUnavailable("each process applies its own rate limits", retry_after_s=self._retry_s)

    async def close(self) -> None:
        """Cancel the background check and close `primary`. No method may be called afterwards."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait((self._probe,))
        await self._primary.close()

    def _degrade(self) -> None:
        if not self.degraded:  # only the first of several concurrent failures is logged
            self.degraded = True
            self._probe_at = self._now() + self._retry_s
            log.warning("Redis for rate limits is unavailable; each process applies its own limits")

    def _probe_when_due(self) -> None:
        if self._probe is None and self._now() >= self._probe_at:
            self._probe = asyncio.create_task(self._check())
            self._probe.add_done_callback(self._probed)

    def _probed(self, probe: asyncio.Task[None]) -> None:
        self._probe = None
        self._probe_at = self._now() + self._retry_s

    async def _check(self) -> None:
        try:
            await self._primary.check()
        except StoreUnavailable:
            self._failed()
            return
        self.degraded = False
        log.info("Redis for rate limits is available again; all processes share the limits")
