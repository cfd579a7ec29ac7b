"""The timer wheel: one timer for everything that waits. Deadlines are absolute and never early.

Time is counted in ticks of 1/8192 s (0.12 ms). Entries whose deadlines fall into the same tick share a slot; an entry
alone is its own slot, which saves a quarter of a stream's memory. A slot costs a wake-up: a busy loop rounds deadlines
up to coarser slots, to 0.5 ms and when saturated to 4 ms, so that wake-ups do not eat its processor. The order of slots
is a heap of their numbers; an emptied slot causes no wake-up.
No loop and no socket.
"""

from heapq import heapify, heappop, heappush
from time import monotonic

from tokenfall import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.metrics import Histogram
    from tokenfall.ports import TimerEntry

TICKS_PER_S = 8192

GRAINS = ((0.35, 1), (0.6, 2), (0.97, 4))
"""The width of slots, in ticks, by the share of time up to which the loop is busy: 0.12, 0.25 and 0.5 ms."""

MAX_GRAIN = 32
"""The width of a saturated loop's slots, in ticks: 4 ms. Its lateness is its load's, and wake-ups are load."""

TURN_S = 0.005
"""How long a turn of the wheel may take before the sockets get their say."""

OVERDUE, PLAYED = 0, -1
"""What an entry's `slot` is while it is overdue, and while the overdue ones are called; else it is its tick."""

LOOK_EVERY = 8
"""Entries played between two looks at the clock."""

SWEEP_AT = 1_000
"""Emptied slots are swept when there are this many and they are the greater part."""

_log = logs.get(__name__)


class TimerWheel:
    """Entries by deadline, in seconds of `now`.

    `late_s` counts how much later than its deadline an entry was called: of eight entries one stands for all.
    """

    __slots__ = ("_emptied", "_order", "_overdue", "_played", "_slots", "grain", "late_s", "now")

    def __init__(self, late_s: "Histogram", *, now: "Callable[[], float]" = monotonic) -> None:
        self.now = now
        self.grain = 1
        """Width of the slots that deadlines are rounded up to, in ticks."""
        self.late_s = late_s
        self._slots: dict[int, TimerEntry | dict[TimerEntry, None]] = {}
        """By tick: the one entry that waits there or, where there are several, all of them."""
        self._order: list[int] = []
        self._overdue: dict[TimerEntry, None] = {}
        """Entries whose deadlines had passed when they joined: each is called once a turn."""
        self._played = int(now() * TICKS_PER_S) - 1
        """The last tick that was played; an entry that would come before is overdue."""
        self._emptied = 0

    @property
    def resolution_s(self) -> float:
        """How late an entry may be called by an idle loop, seconds."""
        return self.grain / TICKS_PER_S

    @property
    def entries(self) -> int:
        """How many wait."""
        return len(self._overdue) + sum(len(slot) if isinstance(slot, dict) else 1 for slot in self._slots.values())

    @property
    def slots(self) -> int:
        """How many slots are in the heap, with those that were emptied before they were due."""
        return len(self._order)

    def join(self, entry: "TimerEntry", deadline_s: float) -> None:
        if entry.slot is not None:
            self.leave(entry)
        self._insert(entry, deadline_s)

    def leave(self, entry: "TimerEntry") -> None:
        tick = entry.slot
        if tick is None:
            return
        entry.slot = None
        if tick == OVERDUE:
            self._overdue.pop(entry, None)
            return
        slot = self._slots.get(tick)
        if isinstance(slot, dict):
            slot.pop(entry, None)
        if slot is entry or slot == {}:
            del self._slots[tick]
            self._emptied += 1
            if self._emptied >= SWEEP_AT and self._emptied * 2 > len(self._order):
                self._sweep()

    def wait_s(self) -> float | None:
        """Seconds until a turn is due, 0 when one is; None when nothing waits."""
        if self._overdue:
            return 0.0
        order, slots = self._order, self._slots
        while order:
            tick = order[0]
            if tick in slots:
                return max(0.0, tick / TICKS_PER_S - self.now())
            heappop(order)
        return None

    def turn(self) -> None:
        """Call every entry that is due, but for no longer than `TURN_S`; then the overdue ones, under the same bound.

        An entry that is always due is called once a turn, so it takes turns with everything else.
        """
        overdue, self._overdue = self._overdue, {}
        for entry in overdue:  # at once: one that leaves while slots are played must not be called
            entry.slot = PLAYED
        now = self.now()
        order = self._order
        if order and order[0] <= now * TICKS_PER_S:
            until = now + TURN_S
            while order and order[0] <= now * TICKS_PER_S and now < until:
                tick = heappop(order)
                slot = self._slots.pop(tick, None)
                if slot is None:
                    continue
                self._played = tick
                together = slot if isinstance(slot, dict) else {slot: None}
                now = self._play(together, tick, until_s=until)
                if together:
                    self._slots[tick] = together
                    heappush(order, tick)
        if overdue:
            self._play(overdue, PLAYED, until_s=self.now() + TURN_S)
            rest = {entry: None for entry in overdue if entry.slot == PLAYED}
            if rest:  # before those that have been called
                for entry in rest:
                    entry.slot = OVERDUE
                self._overdue = {**rest, **self._overdue}

    def adapt(self, busy_share: float) -> None:
        """Take a step towards the slots that fit a loop that is busy for `busy_share` of the time, from 0 to 1."""
        fitting = next((grain for most, grain in GRAINS if busy_share <= most), MAX_GRAIN)
        if self.grain < fitting:
            self.grain *= 2
        elif self.grain > fitting:
            self.grain //= 2

    def clear(self) -> None:
        """Let go of every entry."""
        for slot in (*self._slots.values(), self._overdue):
            for entry in slot if isinstance(slot, dict) else (slot,):
                entry.slot = None
        self._slots.clear()
        self._order.clear()
        self._overdue = {}

    def _play(self, slot: "dict[TimerEntry, None]", tick: int, *, until_s: float) -> float:
        """Call the entries of `slot` in the order of joining; what is left in it was not called. Returns the time."""
        entries = tuple(slot)
        slots, grain = self._slots, self.grain
        now = until_s
        for start in range(0, len(entries), LOOK_EVERY):
            now = self.now()
            if now > until_s:
                for called in entries[:start]:
                    slot.pop(called, None)
                return now
            some = entries[start : start + LOOK_EVERY]
            self.late_s.observe(max(0.0, now - some[len(some) // 2].deadline_s), len(some))
            for entry in some:
                if entry.slot != tick:  # it left while another was called
                    continue
                entry.slot = None
                try:
                    deadline_s = entry.due(now)
                except Exception:  # noqa: BLE001 - a defect ends one entry and is logged; the wheel turns on
                    _log.exception("an entry of the timer wheel failed")
                    continue
                if deadline_s is None:
                    continue
                later = int(deadline_s * TICKS_PER_S) + 1
                if grain > 1:
                    later += -later % grain
                found = slots.get(later)
                if type(found) is dict:  # most, under load: as `_insert` does it, without its call
                    entry.deadline_s = deadline_s
                    entry.slot = later
                    found[entry] = None
                else:
                    self._insert(entry, deadline_s)
        slot.clear()
        return now

    def _insert(self, entry: "TimerEntry", deadline_s: float) -> None:
        """Put an entry that is in no slot where its deadline belongs."""
        entry.deadline_s = deadline_s
        tick = int(deadline_s * TICKS_PER_S) + 1
        grain = self.grain
        if grain > 1:
            tick += -tick % grain
        if tick <= self._played:
            entry.slot = OVERDUE
            self._overdue[entry] = None
            return
        entry.slot = tick
        found = self._slots.get(tick)
        if found is None:
            self._slots[tick] = entry
            heappush(self._order, tick)
        elif isinstance(found, dict):
            found[entry] = None
        else:
            self._slots[tick] = {found: None, entry: None}

    def _sweep(self) -> None:
        """Take the slots out of the heap that were emptied long before they are due."""
        self._emptied = 0
        self._order[:] = self._slots
        heapify(self._order)
