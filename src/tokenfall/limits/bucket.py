"""The token bucket as arithmetic: the generic cell rate algorithm (GCRA). Pure: no clock, no store.

A client's whole state is one number, the theoretical arrival time: the moment at which all that he spent has
come back. Source: ITU-T I.371, annex A; a bucket of `burst` that fills at `rate` a second gives the same answers.
"""

from typing import NamedTuple

EPSILON_S = 1e-6
"""A microsecond: what sums of 1/rate in floats lose after years of uptime must not refuse the last of a burst."""


class Spent(NamedTuple):
    """The answer to one request; `tat_s` is the state to keep, unchanged after a refusal."""

    allowed: bool
    tat_s: float
    remaining: int
    retry_after_s: float
    reset_s: float


def spend(tat_s: float, now_s: float, *, rate: float, burst: int) -> Spent:
    """Spend one request at `now_s` for a client whose state is `tat_s` (0 for a newcomer).

    `rate` is in requests a second, above 0; `burst` at least 1. Never more than burst + rate x t pass in t seconds.
    """
    interval = 1 / rate
    start = max(tat_s, now_s)
    after = start + interval
    room = now_s + burst * interval - after
    if room < -EPSILON_S:
        return Spent(False, tat_s, 0, -room, tat_s - now_s)
    return Spent(True, after, int((room + EPSILON_S) / interval), 0.0, after - now_s)
