"""A deadline that is cheap to move: most are set again long before they pass.

An entry stays on the wheel where it is while its deadline only moves later, and looks when it is called. So a
keep-alive connection costs the wheel one entry for each idle time, not one for each request.
"""

from math import ceil

from tokenfall.ports import Timed, Wheel

COARSE_A_SECOND = 4
"""Deadlines of connections are rounded up to a quarter of a second, so that they share slots."""


class Deadlined:
    """A base for what has one deadline at a time. A subclass says in `expired` what then happens."""

    __slots__ = ("_armed_s", "_deadline_s", "_wheel", "slot")

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._deadline_s = 0.0
        self._armed_s = 0.0
        self.slot: dict[Timed, None] | None = None

    def set_deadline(self, deadline_s: float) -> None:
        """Let `expired` be called at `deadline_s` (monotonic) or up to a quarter of a second later."""
        self._deadline_s = deadline_s
        if self.slot is None or deadline_s < self._armed_s:
            self._armed_s = ceil(deadline_s * COARSE_A_SECOND) / COARSE_A_SECOND
            self._wheel.join(self, self._armed_s)

    def clear_deadline(self) -> None:
        """Wait for nothing and be held by nothing."""
        self._wheel.leave(self)
        self._deadline_s = self._armed_s = 0.0

    def due(self, now_s: float) -> float | None:
        """The wheel's call."""
        if now_s < self._deadline_s:
            self._armed_s = ceil(self._deadline_s * COARSE_A_SECOND) / COARSE_A_SECOND
            return self._armed_s
        self.expired()
        return None

    def expired(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError
