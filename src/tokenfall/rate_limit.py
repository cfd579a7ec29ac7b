"""The decision of a rate limiter. Pure data."""

from msgspec import Struct


class LimitDecision(Struct, frozen=True, gc=False):
    """The result of a rate limiter. `remaining` requests may follow at once; `retry_after_s` is 0 if allowed.

    `reset_s` is the time until the full burst is available again.
    """

    allowed: bool
    remaining: int
    retry_after_s: float
    reset_s: float
