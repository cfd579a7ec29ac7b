"""Backoff between restarts of a worker. Pure."""

FIRST_S = 0.1
MAX_S = 10.0
RESET_AFTER_S = 60.0
"""The backoff resets after this uptime."""


class Backoff:
    """The restart delays of one worker slot: exponential, from `FIRST_S` to `MAX_S`."""

    __slots__ = ("_next_s",)

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def after(self, uptime_s: float) -> float:
        """Seconds to wait before the restart of a worker that ran for `uptime_s`."""
        delay_s = FIRST_S if uptime_s >= RESET_AFTER_S else self._next_s
        self._next_s = min(delay_s * 2, MAX_S)
        return delay_s
