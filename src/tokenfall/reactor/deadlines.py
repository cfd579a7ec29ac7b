"""A deadline that is cheap to postpone, because most deadlines are postponed long before they expire.

While a deadline only moves later, its entry stays where it is on the wheel and is moved when it is called. So a
keep-alive connection costs one insertion per idle timeout, not one per request.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.ports import Wheel

DEADLINE_STEPS_PER_S = 4
"""Deadlines are rounded up to a quarter of a second, so that they share slots."""


class Deadlined:
    """Base class of an object with one deadline at a time. A subclass implements `expired`."""

    __slots__ = ("_deadline_s", "_wheel", "deadline_s", "slot")

    def __init__(self, wheel: "Wheel") -> None:
        self._wheel = wheel
        self._deadline_s = 0.0
        """The deadline; `deadline_s` is the time of the wheel's next call, which may be earlier."""
        self.deadline_s = 0.0
        self.slot: int | None = None

    def set_deadline(self, deadline_s: float) -> None:
        """Have `expired` called at `deadline_s` (monotonic) or up to a quarter of a second later."""
        self._deadline_s = deadline_s
        if self.slot is None or deadline_s < self.deadline_s:
            self._wheel.schedule(self, _coarse(deadline_s))

    def clear_deadline(self) -> None:
        """Remove the deadline; the wheel then holds no reference to this object."""
        self._wheel.cancel(self)
        self._deadline_s = self.deadline_s = 0.0

    def due(self, now_s: float) -> float | None:
        """Called by the wheel."""
        if now_s < self._deadline_s:
            return _coarse(self._deadline_s)
        self.expired()
        return None

    def expired(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError


def _coarse(deadline_s: float) -> float:
    return -(-deadline_s * DEADLINE_STEPS_PER_S // 1) / DEADLINE_STEPS_PER_S
