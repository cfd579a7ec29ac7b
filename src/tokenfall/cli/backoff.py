"""How long to wait before starting again what keeps dying. Pure."""

FIRST_S = 0.1
MOST_S = 10.0
LIVED_S = 60.0
"""Who lived so long was well: the next death is the first of its kind."""


class Backoff:
    """The waits of one worker's place."""

    __slots__ = ("_next_s",)

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def after(self, lived_s: float) -> float:
        """Seconds to wait after the death of one that lived `lived_s`."""
        delay_s = FIRST_S if lived_s >= LIVED_S else self._next_s
        self._next_s = min(delay_s * 2, MOST_S)
        return delay_s
