"""Rate limiter of one process: exact per client, in fixed memory.

Only clients whose bucket is full are evicted. If there are more other clients than fit, new ones share a few overflow
buckets: they may be refused because of each other, but no client gets more than its limit.
"""

from collections.abc import Callable

from tokenfall.limits.bucket import spend
from tokenfall.rate_limit import LimitDecision

MAX_CLIENTS = 16_384
OVERFLOW_BUCKETS = 256


class MemoryLimiter:
    """One bucket per client. `now` returns monotonic seconds; at most `max_clients` have their own bucket."""

    def __init__(self, rate: float, burst: int, *, now: Callable[[], float], max_clients: int = MAX_CLIENTS) -> None:
        self.rate = rate
        self.burst = burst
        self._now = now
        self._max_clients = max_clients
        self._tat: dict[str, float] = {}
        self._overflow = [0.0] * OVERFLOW_BUCKETS
        self._swept_at = 0.0

    async def take(self, client: str) -> LimitDecision:
        now = self._now()
        tat = self._tat.get(client)
        bucket = hash(client) % OVERFLOW_BUCKETS  # str hashes are salted: a client cannot choose its bucket
        if tat is None:  # it may have used tokens of an overflow bucket
            tat = self._overflow[bucket]
        decision, tat = spend(tat, now, rate=self.rate, burst=self.burst)
        if client in self._tat or len(self._tat) < self._max_clients or self._sweep(now):
            self._tat[client] = tat
        else:
            self._overflow[bucket] = tat
        return decision

    def _sweep(self, now: float) -> bool:
        """Evict clients with a full bucket, at most once per 1/rate: a flood must not cause a sweep per request.

        Returns whether there is room for another client.
        """
        if now - self._swept_at >= 1 / self.rate:
            self._swept_at = now
            self._tat = {client: tat for client, tat in self._tat.items() if tat > now}
        return len(self._tat) < self._max_clients
