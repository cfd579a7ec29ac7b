"""Bounds for turns that go on without the client that asked.

Nobody sees what they cost, so their number, their memory and their time are bounded: beyond a bound the oldest ends.
"""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from tokenfall.errors import DetachedLimit
from tokenfall.turns.turn import RunningTurn

LOOK_EVERY_S = 1.0
"""How often their memory and time are looked at while there are any."""
OVERHEAD_BYTES = 4_000
"""What a turn holds besides its question and its text."""


class DetachedBounds(Struct, frozen=True, kw_only=True):
    """`max_bytes` counts questions and texts, `max_s` from when the client left."""

    max_turns: int = 256
    max_bytes: int = 8_388_608
    max_s: float = 600.0


class DetachedTurns:
    """The turns of this process without a client, oldest first."""

    def __init__(
        self, bounds: DetachedBounds, *, now: Callable[[], float], on_count: Callable[[int], None] | None = None
    ) -> None:
        """`on_count` is called with their number whenever it changes."""
        self._bounds = bounds
        self._now = now
        self._on_count = on_count
        self._turns: dict[RunningTurn, tuple[float, int]] = {}  # since when, and the bytes of the question
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, turn: RunningTurn, *, question_bytes: int) -> None:
        """The client of `turn` has left, and it goes on."""
        self._turns[turn] = (self._now(), question_bytes + OVERHEAD_BYTES)
        self._counted()
        self._enforce()
        self._look_again()

    def remove(self, turn: RunningTurn) -> None:
        """The turn has ended; harmless when it is not here."""
        if self._turns.pop(turn, None) is not None:
            self._counted()

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _enforce(self) -> None:
        """End the oldest turns until the rest is within the bounds."""
        bounds = self._bounds
        sizes = {turn: size + turn.said.characters for turn, (_, size) in self._turns.items()}
        number, held = len(sizes), sum(sizes.values())
        oldest_s = self._now() - bounds.max_s
        for turn, size in sizes.items():
            if self._turns[turn][0] <= oldest_s:
                turn.stop_with(DetachedLimit("the turn went on without its client for too long"))
            elif number > bounds.max_turns:
                turn.stop_with(DetachedLimit("too many turns went on without their clients"))
            elif held > bounds.max_bytes:
                turn.stop_with(DetachedLimit("the turns that went on without their clients held too much memory"))
            else:
                return  # those after it are younger
            number -= 1
            held -= size

    def _look_again(self) -> None:
        if self._timer is None and self._turns:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._looked)

    def _looked(self) -> None:
        self._timer = None
        self._enforce()
        self._look_again()

    def _counted(self) -> None:
        if self._on_count is not None:
            self._on_count(len(self._turns))
