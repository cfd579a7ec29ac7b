"""A deadline that is cheap to move: most are set again long before they pass.

An entry stays on the wheel where it is while its deadline only moves later, and looks when it is called. So a
keep-alive connection costs the wheel one entry for each idle time, not one for each request.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.ports import Wheel

COARSE_A_SECOND = 4
"""Deadlines of connections are rounded up to a quarter of a second, so that they share slots."""


class Deadlined:
    """A base for what has one deadline at a time. A subclass says in `expired` what then happens."""

    __slots__ = ("_deadline_s", "_wheel", "deadline_s", "slot")

    def __init__(self, wheel: "Wheel") -> None:
        self._wheel = wheel
        self._deadline_s = 0.0
        """When `expired` is to be called; `deadline_s` is when the wheel calls, which may be earlier."""
        self.deadline_s = 0.0
        self.slot: int | None = None

    def set_deadline(self, deadline_s: float) -> None:
        """Let `expired` be called at `deadline_s` (monotonic) or up to a quarter of a second later."""
        self._deadline_s = deadline_s
        if self.slot is None or deadline_s < self.deadline_s:
            self._wheel.join(self, _coarse(deadline_s))

    def clear_deadline(self) -> None:
        """Wait for nothing and be held by nothing."""
        self._wheel.leave(self)
        self._deadline_s = self.deadline_s = 0.0

    def due(self, now_s: float) -> float | None:
        """The wheel's call."""
        if now_s < self._deadline_s:
            return _coarse(self._deadline_s)
        self.expired()
        return None

    def expired(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError


def _coarse(deadline_s: float) -> float:
    return -(-deadline_s * COARSE_A_SECOND // 1) / COARSE_A_SECOND
