"""The timer wheel: one timer for all deadlines. Deadlines are absolute, and no entry is called early.

Time is counted in ticks of 1/8192 s (0.12 ms). Entries whose deadlines fall into the same tick share a slot. A slot is
a single entry, a list of a few entries (these two save a quarter of a stream's memory), or a dict of many, from which
any entry is removed in constant time. Each slot costs a wake-up, so a busy loop rounds deadlines up to wider slots, of
0.5 ms and, when saturated, 4 ms. A heap of tick numbers orders the slots; an emptied slot causes no wake-up.

Called by the reactor's loop. It must not depend on the loop or on sockets.
"""

from heapq import heapify, heappop, heappush
from time import monotonic

from tokenfall import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenfall.metrics.registry import Histogram
    from tokenfall.ports import TimerEntry

TICKS_PER_S = 8192

SLOT_TICKS = ((0.35, 1), (0.6, 2), (0.97, 4))
"""Pairs of the maximum load of the loop and the width of slots in ticks: 0.12, 0.25 and 0.5 ms."""

MAX_SLOT_TICKS = 32
"""Width of a saturated loop's slots, in ticks: 4 ms. More wake-ups would add to the load that delays its entries."""

TURN_S = 0.005
"""How long a turn of the wheel may take, so that sockets are not delayed."""

OVERDUE, CALLING = 0, -1
"""Values of an entry's `slot`: overdue; overdue, and to be called in this turn. Any other value is its tick."""

CLOCK_EVERY = 8
"""Entries called between two readings of the clock."""

MAX_LIST_ENTRIES = 8
"""Entries of a slot that are in a list; a slot with more has a dict."""

SWEEP_AT = 1_000
"""Emptied slots are removed from the heap if there are at least this many and they are the majority."""

_log = logs.get(__name__)


class TimerWheel:
    """Entries by deadline, in seconds of `now`.

    `late_s` is a histogram of the delay between deadline and call; one entry in eight is measured and counted for all.
    """

    __slots__ = ("_emptied", "_last_tick", "_order", "_overdue", "_slots", "late_s", "now", "slot_ticks")

    def __init__(self, late_s: "Histogram", *, now: "Callable[[], float]" = monotonic) -> None:
        self.now = now
        self.slot_ticks = 1
        """Current width of slots, in ticks."""
        self.late_s = late_s
        self._slots: dict[int, TimerEntry | list[TimerEntry] | dict[TimerEntry, None]] = {}
        """By tick: the entry, or several entries."""
        self._order: list[int] = []
        self._overdue: dict[TimerEntry, None] = {}
        """Entries whose deadlines had passed when they were scheduled: each is called once per turn."""
        self._last_tick = int(now() * TICKS_PER_S) - 1
        """The last tick whose entries were called; an entry at or before it is overdue."""
        self._emptied = 0

    @property
    def resolution_s(self) -> float:
        """Maximum delay of an entry in an idle loop, seconds."""
        return self.slot_ticks / TICKS_PER_S

    @property
    def entries(self) -> int:
        """Number of waiting entries."""
        return len(self._overdue) + sum(len(_entries(slot)) for slot in self._slots.values())

    @property
    def slots(self) -> int:
        """Number of slots in the heap, including emptied ones."""
        return len(self._order)

    def schedule(self, entry: "TimerEntry", deadline_s: float) -> None:
        if entry.slot is not None:
            self.cancel(entry)
        self._insert(entry, deadline_s)

    def cancel(self, entry: "TimerEntry") -> None:
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
        elif isinstance(slot, list) and entry in slot:
            slot.remove(entry)
        if slot is entry or slot in ({}, []):
            del self._slots[tick]
            self._emptied += 1
            if self._emptied >= SWEEP_AT and self._emptied * 2 > len(self._order):
                self._sweep()

    def wait_s(self) -> float | None:
        """Seconds until a turn is due, 0 if one is due now, None without entries."""
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
        """Call the entries that are due, for at most `TURN_S`; then the overdue ones, with the same limit.

        An entry that is always due is called once per turn, so it does not starve the others.
        """
        overdue, self._overdue = self._overdue, {}
        for entry in overdue:  # marked before any call: an entry that is cancelled during one must not be called
            entry.slot = CALLING
        now = self.now()
        order = self._order
        if order and order[0] <= now * TICKS_PER_S:
            until = now + TURN_S
            while order and order[0] <= now * TICKS_PER_S and now < until:
                tick = heappop(order)
                slot = self._slots.pop(tick, None)
                if slot is None:
                    continue
                self._last_tick = tick
                entries = _entries(slot)
                now = self._call_entries(entries, tick, until_s=until)
                if now >= until:
                    remaining = {entry: None for entry in entries if entry.slot == tick}
                    if remaining:
                        self._slots[tick] = remaining
                        heappush(order, tick)
        if overdue:
            entries = tuple(overdue)
            self._call_entries(entries, CALLING, until_s=self.now() + TURN_S)
            remaining = {entry: None for entry in entries if entry.slot == CALLING}
            if remaining:  # called first in the next turn
                for entry in remaining:
                    entry.slot = OVERDUE
                self._overdue = {**remaining, **self._overdue}

    def adapt(self, busy_share: float) -> None:
        """Double or halve the width of slots towards the one for a load of `busy_share`, from 0 to 1."""
        fitting = next((slot_ticks for most, slot_ticks in SLOT_TICKS if busy_share <= most), MAX_SLOT_TICKS)
        if self.slot_ticks < fitting:
            self.slot_ticks *= 2
        elif self.slot_ticks > fitting:
            self.slot_ticks //= 2

    def clear(self) -> None:
        """Remove all entries."""
        for slot in (*self._slots.values(), self._overdue):
            for entry in _entries(slot):
                entry.slot = None
        self._slots.clear()
        self._order.clear()
        self._overdue = {}

    def _call_entries(self, entries: "Sequence[TimerEntry]", tick: int, *, until_s: float) -> float:
        """Call the entries of a slot, FIFO; those not called in time keep `tick` as their slot. Return the time."""
        slots, slot_ticks = self._slots, self.slot_ticks
        now = until_s
        last = 0
        for start in range(0, len(entries), CLOCK_EVERY):
            now = self.now()
            if now >= until_s:
                return now
            some = entries[start : start + CLOCK_EVERY]
            self.late_s.observe(max(0.0, now - some[len(some) // 2].deadline_s), len(some))
            for entry in some:
                if entry.slot != tick:  # cancelled during the call of another entry
                    continue
                entry.slot = None
                try:
                    deadline_s = entry.due(now)
                except Exception:  # noqa: BLE001 - a defect removes one entry and must not stop the others
                    _log.exception("an entry of the timer wheel failed")
                    continue
                if deadline_s is None:
                    continue
                later = int(deadline_s * TICKS_PER_S) + 1
                if slot_ticks > 1:
                    later += -later % slot_ticks
                found = slots.get(later)
                if type(found) is dict:  # the usual case under load: `_insert` inlined
                    if later == last:
                        later = last  # one int object for the entries of a slot saves 32 bytes for each of them
                    last = later
                    entry.deadline_s = deadline_s
                    entry.slot = later
                    found[entry] = None
                else:
                    self._insert(entry, deadline_s)
        return now

    def _insert(self, entry: "TimerEntry", deadline_s: float) -> None:
        """Add an entry, which must not be in a slot, to the slot of its deadline."""
        entry.deadline_s = deadline_s
        tick = int(deadline_s * TICKS_PER_S) + 1
        slot_ticks = self.slot_ticks
        if slot_ticks > 1:
            tick += -tick % slot_ticks
        if tick <= self._last_tick:
            entry.slot = OVERDUE
            self._overdue[entry] = None
            return
        found = self._slots.get(tick)
        entry.slot = tick
        if found is None:
            self._slots[tick] = entry
            heappush(self._order, tick)
        elif isinstance(found, dict):
            found[entry] = None
        elif isinstance(found, list):
            entry.slot = found[0].slot  # the same int object
            if len(found) < MAX_LIST_ENTRIES:
                found.append(entry)
            else:
                self._slots[tick] = dict.fromkeys((*found, entry))
        else:
            entry.slot = found.slot
            self._slots[tick] = [found, entry]

    def _sweep(self) -> None:
        """Remove emptied slots from the heap."""
        self._emptied = 0
        self._order[:] = self._slots
        heapify(self._order)


def _entries(slot: "TimerEntry | list[TimerEntry] | dict[TimerEntry, None]") -> "Sequence[TimerEntry]":
    """The entries of a slot, FIFO. A dict is copied, because calling an entry may change it."""
    if isinstance(slot, list):
        return slot
    return tuple(slot) if isinstance(slot, dict) else (slot,)
