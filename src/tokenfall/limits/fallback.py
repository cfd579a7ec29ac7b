"""Two limiters as one: the shared one while it answers, else the process' own. No request goes unlimited.

While the shared one fails, nobody waits for it but one probe in the background.
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


def uncounted() -> None:
    """A failure that nobody counts."""


class RemoteLimiter(RateLimiter, Protocol):
    """A limiter that can fail: `take` raises `StoreUnavailable`."""

    async def check(self) -> None:
        """Return when verdicts can be had now. Raises `StoreUnavailable`."""
        ...

    async def close(self) -> None:
        """Let go of everything. Nothing may be called afterwards."""
        ...


class FallbackLimiter:
    """`primary` while it answers, else `local`. It owns `primary`; `now` gives monotonic seconds.

    After a failure `primary` is left alone for `retry_s`, then checked in the background at the next take, and so on
    until a check succeeds. The two do not know each other's debts: a change of limiters may give a client one burst
    more. `failed` is called for each take and check that fails.
    """

    def __init__(
        self,
        primary: RemoteLimiter,
        local: RateLimiter,
        *,
        now: Callable[[], float],
        failed: Callable[[], None] = uncounted,
        retry_s: float = RETRY_S,
    ) -> None:
        self.rate = primary.rate
        self.burst = primary.burst
        self._primary = primary
        self._local = local
        self._now = now
        self._retry_s = retry_s
        self._failed = failed
        self._degraded = False
        self._probe: asyncio.Task[None] | None = None
        self._probe_at = 0.0

    @property
    def degraded(self) -> bool:
        """Whether each process limits on its own now."""
        return self._degraded

    async def take(self, client: str) -> LimitDecision:
        if self._degraded:
            self._probe_when_due()
            return await self._local.take(client)
        try:
            return await self._primary.take(client)
        except StoreUnavailable:
            self._failed()
            self._degrade()
            return await self._local.take(client)

    async def check(self) -> None:
        """Raises `StoreUnavailable` while the local one answers; then it also sees to the probe, as a take does."""
        if self._degraded:
            self._probe_when_due()
            raise StoreUnavailable("each process limits on its own now", retry_after_s=self._retry_s)

    async def close(self) -> None:
        """End the probe and close the primary. Nothing may be called afterwards."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait((self._probe,))
        await self._primary.close()

    def _degrade(self) -> None:
        if not self._degraded:  # of many requests under way, the first to fail says so
            self._degraded = True
            self._probe_at = self._now() + self._retry_s
            log.warning("the rate limits' Redis fails, each process limits on its own")

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
        self._degraded = False
        log.info("the rate limits' Redis answers again, all processes limit together")
