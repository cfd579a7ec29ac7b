"""The decision of a rate limiter. Pure data."""

from msgspec import Struct


class LimitDecision(Struct, frozen=True, gc=False):
    """What a limiter says. `remaining` whole requests may follow at once; `retry_after_s` is 0 when allowed.

    `reset_s` is the time until the whole burst is there again.
    """

    allowed: bool
    remaining: int
    retry_after_s: float
    reset_s: float
