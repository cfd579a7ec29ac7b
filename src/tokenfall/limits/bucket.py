"""The token bucket as arithmetic: the generic cell rate algorithm (GCRA). Pure: no clock, no store.

The state of a client is one number, the theoretical arrival time (TAT): the time at which its bucket is full again.
Source: ITU-T I.371, annex A; equivalent to a bucket of `burst` tokens that is refilled with `rate` tokens per second.
"""

from tokenfall.rate_limit import LimitDecision

EPSILON_S = 1e-6
"""A microsecond of tolerance: float rounding after years of uptime must not refuse the last request of a burst."""


def spend(tat_s: float, now_s: float, *, rate: float, burst: int) -> tuple[LimitDecision, float]:
    """Decide on one request at `now_s` for a client with state `tat_s` (0 for a new client).

    Returns the decision and the new state, which a refusal does not change. `rate` is in requests per second, above 0;
    `burst` is at least 1. At most burst + rate x t requests are allowed in t seconds.
    """
    interval = 1 / rate
    start = max(tat_s, now_s)
    after = start + interval
    room = now_s + burst * interval - after
    if room < -EPSILON_S:
        return LimitDecision(False, 0, -room, tat_s - now_s), tat_s
    return LimitDecision(True, int((room + EPSILON_S) / interval), 0.0, after - now_s), after
