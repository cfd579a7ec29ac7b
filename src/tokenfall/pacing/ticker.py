"""One timer for all that waits: a wheel of slots a few milliseconds wide.

When a slot is due, each entry in it acts and says when it is due next. Deadlines are absolute and never early, so
lateness does not add up; the ticker measures its own. At rest no timer runs. It knows nothing of tokens or sockets.
"""

import asyncio
import logging
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from time import monotonic

from tokenfall.metrics import Histogram
from tokenfall.ports import Timed

SLOTS_A_SECOND = 250
"""4 ms a slot. A loop's timers count whole milliseconds, so much finer slots would not be kept."""

EARLY_S = 0.0005
"""A loop's timer may fire half a millisecond early; what is due within that is due."""

SWEEP_AT = 1_000
"""So many emptied slots are swept, when they are the greater part."""

TURN_S = 0.02
"""How long a turn may play before the sockets get their say."""

_log = logging.getLogger(__name__)


class Ticker:
    """The wheel of one event loop; `late_s` counts how late each entry's slot was played, in seconds."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, late_s: Histogram, *, now: Callable[[], float] = monotonic
    ) -> None:
        self.now = now
        self._loop = loop
        self._late_s = late_s
        self._slots: dict[int, dict[Timed, None]] = {}
        self._order: list[int] = []
        self._armed_for: int | None = None
        self._timer: asyncio.Handle | None = None
        self._emptied = 0

    def join(self, entry: Timed, deadline_s: float) -> None:
        if entry.slot is not None:
            del entry.slot[entry]
        number = ceil(deadline_s * SLOTS_A_SECOND)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = {}
            heappush(self._order, number)
            if self._armed_for is None or number < self._armed_for:
                self._arm(number)
        slot[entry] = None
        entry.slot = slot

    def leave(self, entry: Timed) -> None:
        slot = entry.slot
        if slot is not None:
            del slot[entry]
            entry.slot = None
            if not slot:
                self._emptied += 1
                if self._emptied >= SWEEP_AT and self._emptied * 2 > len(self._order):
                    self._sweep()

    def _sweep(self) -> None:
        """Forget slots that were emptied long before they are due."""
        self._emptied = 0
        for number in [number for number, slot in self._slots.items() if not slot]:
            del self._slots[number]
        self._order[:] = sorted(self._slots)

    def close(self) -> None:
        """Stop the timer and let go of every entry."""
        if self._timer is not None:
            self._timer.cancel()
        self._slots.clear()
        self._order.clear()

    def _arm(self, number: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = number
        delay = number / SLOTS_A_SECOND - self.now()
        self._timer = self._loop.call_later(delay, self._turn) if delay > 0 else self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Play every slot that is due, but not for longer than `TURN_S`."""
        self._timer = None
        order = self._order
        now = self.now()
        until = now + TURN_S
        self._armed_for = -1  # while playing, a join must not arm
        while order and order[0] <= (now + EARLY_S) * SLOTS_A_SECOND and now < until:
            number = heappop(order)
            self._play(number, self._slots.pop(number), now=now)
            now = self.now()
        self._armed_for = None
        if order:
            self._arm(order[0])

    def _play(self, number: int, slot: dict[Timed, None], *, now: float) -> None:
        self._late_s.observe(max(0.0, now - number / SLOTS_A_SECOND), len(slot))
        rejoin = self._rejoin
        for entry in tuple(slot):  # in the order of joining, so that places within a slot do not jitter
            if entry.slot is not slot:  # it left while another was played
                continue
            entry.slot = None
            try:
                deadline_s = entry.due(now)
            except Exception:  # noqa: BLE001 - a defect ends one entry and is logged; the wheel turns on
                _log.exception("an entry of the wheel failed")
                continue
            if deadline_s is not None:
                rejoin(entry, deadline_s)

    def _rejoin(self, entry: Timed, deadline_s: float) -> None:
        """`join` as it is cheapest in a turn: the entry is on no slot and no timer is to be armed."""
        number = ceil(deadline_s * SLOTS_A_SECOND)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = {}
            heappush(self._order, number)
        slot[entry] = None
        entry.slot = slot
