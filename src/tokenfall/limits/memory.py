"""The limiter of one process: exact for each client, in fixed memory.

Who owes nothing is forgotten; who owes is never pushed out by others. When more clients owe than there is room for,
newcomers share a few overflow buckets: strangers may be refused together, but nobody gets more than his share.
"""

from collections.abc import Callable

from tokenfall.limits.bucket import spend
from tokenfall.rate_limit import LimitDecision

MAX_CLIENTS = 16_384
OVERFLOW_BUCKETS = 256


class MemoryLimiter:
    """A bucket a client. `now` gives monotonic seconds; at most `max_clients` are told apart at a time."""

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
        bucket = hash(client) % OVERFLOW_BUCKETS  # str hashes are salted: nobody can choose his neighbour
        if tat is None:  # perhaps it owes in an overflow bucket
            tat = self._overflow[bucket]
        spent = spend(tat, now, rate=self.rate, burst=self.burst)
        if client in self._tat or len(self._tat) < self._max_clients or self._sweep(now):
            self._tat[client] = spent.tat_s
        else:
            self._overflow[bucket] = spent.tat_s
        return LimitDecision(spent.allowed, spent.remaining, spent.retry_after_s, spent.reset_s)

    def _sweep(self, now: float) -> bool:
        """Forget who owes nothing, at most once an interval: a flood must not buy a sweep a request."""
        if now - self._swept_at >= 1 / self.rate:
            self._swept_at = now
            self._tat = {client: tat for client, tat in self._tat.items() if tat > now}
        return len(self._tat) < self._max_clients
