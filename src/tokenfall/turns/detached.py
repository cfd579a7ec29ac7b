"""Limits on turns that continue after their client has disconnected.

No client waits for them, so their number, memory and time are limited: above a limit the oldest turn is ended.
"""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from tokenfall.errors import DetachedLimit
from tokenfall.turns.turn import RunningTurn

LOOK_EVERY_S = 1.0
"""Interval of checking memory and time while there are detached turns."""
OVERHEAD_BYTES = 8_000
"""Memory of a turn besides its texts: the tasks that generate it, the buffers of an upstream connection."""


class DetachedBounds(Struct, frozen=True, kw_only=True):
    """`max_bytes` counts all texts that a turn holds; `max_s` starts when the client disconnects."""

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
        self._turns: dict[RunningTurn, tuple[float, int]] = {}  # time of detaching, bytes that do not change
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, turn: RunningTurn, *, held_bytes: int) -> None:
        """Register `turn`, which continues without its client. `held_bytes`: its question, and earlier responses."""
        self._turns[turn] = (self._now(), held_bytes + OVERHEAD_BYTES)
        self._report_count()
        self._enforce()
        self._schedule_check()

    def remove(self, turn: RunningTurn) -> None:
        """Remove a turn that has ended; no effect if it is not detached."""
        if self._turns.pop(turn, None) is not None:
            self._report_count()

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _enforce(self) -> None:
        """End the oldest turns until the others are within the limits."""
        bounds = self._bounds
        sizes = {turn: size + turn.size_bytes() for turn, (_, size) in self._turns.items()}
        number, total_bytes = len(sizes), sum(sizes.values())
        oldest_s = self._now() - bounds.max_s
        for turn, size in sizes.items():
            if self._turns[turn][0] <= oldest_s:
                turn.stop_with(DetachedLimit("the turn ran without its client for too long"))
            elif number > bounds.max_turns:
                turn.stop_with(DetachedLimit("too many turns ran without their clients"))
            elif total_bytes > bounds.max_bytes:
                turn.stop_with(DetachedLimit("the turns that ran without their clients used too much memory"))
            else:
                return  # all later ones are newer
            number -= 1
            total_bytes -= size

    def _schedule_check(self) -> None:
        if self._timer is None and self._turns:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._check)

    def _check(self) -> None:
        self._timer = None
        self._enforce()
        self._schedule_check()

    def _report_count(self) -> None:
        if self._on_count is not None:
            self._on_count(len(self._turns))
