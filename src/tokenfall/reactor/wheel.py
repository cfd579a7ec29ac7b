"""The timer wheel: one timer for all deadlines. Deadlines are absolute, and no entry is called early.

Time is counted in ticks of 1/8192 s (0.12 ms). Entries whose deadlines fall into the same tick share a slot; a single
entry is stored without a container, and a few in a list, which saves a quarter of a stream's memory; a dict has many,
because any of them may leave. Each slot costs a wake-up, so a busy loop rounds deadlines up to wider slots, of 0.5 ms
and, when saturated, 4 ms. A heap of tick numbers orders the slots; an emptied slot causes no wake-up.

Called by the reactor's loop. It must not depend on the loop or on sockets.
"""

from heapq import heapify, heappop, heappush
from time import monotonic

from tokenfall import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenfall.metrics import Histogram
    from tokenfall.ports import TimerEntry

TICKS_PER_S = 8192

GRAINS = ((0.35, 1), (0.6, 2), (0.97, 4))
"""Pairs of the maximum load of the loop and the width of slots in ticks: 0.12, 0.25 and 0.5 ms."""

MAX_GRAIN = 32
"""Width of a saturated loop's slots, in ticks: 4 ms. Its entries are late because of load, which wake-ups increase."""

TURN_S = 0.005
"""How long a turn of the wheel may take, so that sockets are not delayed."""

OVERDUE, PLAYED = 0, -1
"""Value of an entry's `slot` while it is overdue, and while the overdue entries are called; otherwise its tick."""

CLOCK_EVERY = 8
"""Entries called between two readings of the clock."""

MOST_LISTED = 8
"""Entries of a slot that are in a list; a slot with more has a dict."""

SWEEP_AT = 1_000
"""Emptied slots are removed from the heap if there are at least this many and they are the majority."""

_log = logs.get(__name__)


class TimerWheel:
    """Entries by deadline, in seconds of `now`.

    `late_s` is a histogram of the delay between deadline and call; one entry in eight is measured and counted for all.
    """

    __slots__ = ("_emptied", "_order", "_overdue", "_played", "_slots", "grain", "late_s", "now")

    def __init__(self, late_s: "Histogram", *, now: "Callable[[], float]" = monotonic) -> None:
        self.now = now
        self.grain = 1
        """Current width of slots, in ticks."""
        self.late_s = late_s
        self._slots: dict[int, TimerEntry | list[TimerEntry] | dict[TimerEntry, None]] = {}
        """By tick: the entry, or several entries."""
        self._order: list[int] = []
        self._overdue: dict[TimerEntry, None] = {}
        """Entries whose deadlines had passed when they joined: each is called once per turn."""
        self._played = int(now() * TICKS_PER_S) - 1
        """The last tick whose entries were called; an entry at or before it is overdue."""
        self._emptied = 0

    @property
    def resolution_s(self) -> float:
        """Maximum delay of an entry in an idle loop, seconds."""
        return self.grain / TICKS_PER_S

    @property
    def entries(self) -> int:
        """Number of waiting entries."""
        return len(self._overdue) + sum(len(_entries(slot)) for slot in self._slots.values())

    @property
    def slots(self) -> int:
        """Number of slots in the heap, including emptied ones."""
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
        for entry in overdue:  # marked before any call: an entry that leaves during one must not be called
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
                entries = _entries(slot)
                now = self._play(entries, tick, until_s=until)
                if now >= until:
                    remaining = {entry: None for entry in entries if entry.slot == tick}
                    if remaining:
                        self._slots[tick] = remaining
                        heappush(order, tick)
        if overdue:
            entries = tuple(overdue)
            self._play(entries, PLAYED, until_s=self.now() + TURN_S)
            remaining = {entry: None for entry in entries if entry.slot == PLAYED}
            if remaining:  # they go first in the next turn
                for entry in remaining:
                    entry.slot = OVERDUE
                self._overdue = {**remaining, **self._overdue}

    def adapt(self, busy_share: float) -> None:
        """Double or halve the width of slots towards the one for a load of `busy_share`, from 0 to 1."""
        fitting = next((grain for most, grain in GRAINS if busy_share <= most), MAX_GRAIN)
        if self.grain < fitting:
            self.grain *= 2
        elif self.grain > fitting:
            self.grain //= 2

    def clear(self) -> None:
        """Remove all entries."""
        for slot in (*self._slots.values(), self._overdue):
            for entry in _entries(slot):
                entry.slot = None
        self._slots.clear()
        self._order.clear()
        self._overdue = {}

    def _play(self, entries: "Sequence[TimerEntry]", tick: int, *, until_s: float) -> float:
        """Call the entries of a slot, FIFO; those not called in time keep `tick` as their slot. Return the time."""
        slots, grain = self._slots, self.grain
        now = until_s
        last = 0
        for start in range(0, len(entries), CLOCK_EVERY):
            now = self.now()
            if now >= until_s:
                return now
            some = entries[start : start + CLOCK_EVERY]
            self.late_s.observe(max(0.0, now - some[len(some) // 2].deadline_s), len(some))
            for entry in some:
                if entry.slot != tick:  # it left during the call of another entry
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
                if grain > 1:
                    later += -later % grain
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
        grain = self.grain
        if grain > 1:
            tick += -tick % grain
        if tick <= self._played:
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
            if len(found) < MOST_LISTED:
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
    """The entries of a slot, FIFO; a change of the slot does not change a tuple, and lists are played once."""
    if isinstance(slot, list):
        return slot
    return tuple(slot) if isinstance(slot, dict) else (slot,)
