"""What makes a simulated stream wait for something other than time: gates that a test opens, and a full house.

No loop and no clock: who must wait leaves a callback, and whoever makes room calls it.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from sys import maxsize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from weakref import WeakValueDictionary

    from tokenfall.simulator.values import Load

    Resume = Callable[[], None]


MAX_GATES = 1_000
"""Gates that are kept although no stream holds them."""

IDLE_S = 3_600.0
"""How long such a gate is kept after it was last used."""

SPARE = 64
"""Entries of the queue whose streams have left and that are not worth a look."""


class TestGate:
    """A gate that a test opens and closes: it begins closed, and lets through as many tokens as it is told.

    Who waits is let through in the order in which they came: a token is promised to one of them, not to the quickest.
    """

    __test__ = False  # pytest takes the name for a test's

    def __init__(self) -> None:
        self.is_open = False
        self.allowed = 0
        """Tokens that may still pass while it is closed, and are promised to nobody."""
        self.passed = 0
        self._waiting: dict[Resume, None] = {}
        self._promised: set[Resume] = set()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def open(self) -> None:
        """Let everything through."""
        self.is_open = True
        waiting, self._waiting = self._waiting, {}
        for resume in waiting:
            resume()

    def close(self) -> None:
        """Let nothing through from now on."""
        self.is_open = False
        self.allowed = 0
        self._promised.clear()

    def allow(self, tokens: int) -> None:
        """Let so many more tokens through."""
        self.allowed += tokens
        self._promise()

    def passes(self, resume: Resume) -> bool:
        """See `tokenfall.ports.Barrier`."""
        if resume in self._promised:
            self._promised.remove(resume)
        elif not self.is_open:
            if not self.allowed:
                self._waiting[resume] = None
                return False
            self.allowed -= 1
        self.passed += 1
        return True

    def forget(self, resume: Resume) -> None:
        """Who waited waits no more; what was promised to it is another's."""
        self._waiting.pop(resume, None)
        if resume in self._promised:
            self._promised.remove(resume)
            self.allow(1)

    def _promise(self) -> None:
        while self.allowed and self._waiting:
            resume = next(iter(self._waiting))
            del self._waiting[resume]
            self._promised.add(resume)
            self.allowed -= 1
            resume()


class Gates:
    """The gates of a server by name; the first who names one makes it.

    A gate that nobody has opened, closed or allowed tokens lasts as long as a stream holds it: a new one would be the
    same. So no number of gates that callers name takes room from others. One that was moved is kept for `IDLE_S` after
    it was last used by the clock `now`; for ever without one.
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self._now = now
        self._gates: WeakValueDictionary[str, TestGate] | None = None
        self._kept: dict[str, tuple[float, TestGate]] = {}  # used last, and the gate; the oldest use first

    def get(self, name: str) -> TestGate:
        """The gate called `name`."""
        self._expire()
        if self._gates is None:
            from weakref import WeakValueDictionary  # noqa: PLC0415 - few servers have a gate

            self._gates = WeakValueDictionary()
        found = self._gates.get(name)
        if found is None:
            found = self._gates[name] = TestGate()
        elif name in self._kept:
            self._keep(name, found)
        return found

    def kept(self, name: str) -> TestGate:
        """The gate called `name`, kept also while no stream holds it. Raises ValueError when there are too many."""
        found = self.get(name)
        if name not in self._kept and len(self._kept) >= MAX_GATES:
            raise ValueError(f"more than {MAX_GATES} gates")
        self._keep(name, found)
        return found

    def known(self) -> dict[str, TestGate]:
        """All of them."""
        self._expire()
        return dict(self._gates or {})

    def drop(self, name: str) -> bool:
        """Forget a gate; who waited there goes on. False when there was none."""
        found = None if self._gates is None else self._gates.pop(name, None)
        self._kept.pop(name, None)
        if found is not None:
            found.open()
        return found is not None

    def clear(self) -> None:
        """Forget all of them."""
        for name in list(self._gates or ()):
            self.drop(name)

    def _keep(self, name: str, gate: TestGate) -> None:
        self._kept.pop(name, None)
        self._kept[name] = (self._now(), gate)

    def _expire(self) -> None:
        """Let go of what was used too long ago; a gate that a stream still holds stays known."""
        before_s = self._now() - IDLE_S
        while self._kept:
            name, (used_s, _) = next(iter(self._kept.items()))
            if used_s > before_s:
                return
            del self._kept[name]


class ConcurrencyLimiter:
    """Counts the simulated answers under way, and makes latecomers wait where the grammar's `load` says so.

    A place is given as soon as it is free to who has room in it: of those who wait, first to who allows for the most
    inside, and of equals to the first. So who waits for an emptier house holds up nobody else.
    """

    def __init__(self) -> None:
        self.inside = 0
        self._waiting: dict[Permit, Resume] = {}
        self._order: list[tuple[int, int, Permit]] = []
        """A heap of who waits, with the largest capacity first; also of who has left since, until it is met."""
        self._arrivals = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def factor(self, load: Load) -> float:
        """How many times longer gaps are now."""
        return 1 + (load.factor - 1) * min(self.inside, load.capacity) / load.capacity

    def enter(self) -> None:
        """An answer begins."""
        self.inside += 1

    def leave(self) -> None:
        """An answer has ended, however it did."""
        self.inside -= 1
        if self._order:
            self._admit()

    def permit(self, load: Load | None) -> Permit:
        """For one answer, to be let in when there is room; at once where there is no `load`."""
        return Permit(self, load)

    def queue(self, permit: Permit, resume: Resume) -> None:
        """Wait behind those who wait already."""
        if permit not in self._waiting:
            self._arrivals += 1
            heappush(self._order, (-permit.capacity, self._arrivals, permit))
        self._waiting[permit] = resume

    def forget(self, permit: Permit) -> None:
        """Who waited waits no more."""
        if self._waiting.pop(permit, None) is not None and len(self._order) > 2 * len(self._waiting) + SPARE:
            self._order = [entry for entry in self._order if entry[2] in self._waiting]
            heapify(self._order)

    def _admit(self) -> None:
        """Let in who has room: where the one with the largest capacity has none, nobody else has."""
        while self._order:
            permit = self._order[0][2]
            if permit in self._waiting and not permit.fits():
                return
            heappop(self._order)
            resume = self._waiting.pop(permit, None)
            if resume is not None:
                permit.enter()
                resume()


class Permit:
    """Lets one answer into the house, once. A `tokenfall.ports.Barrier`."""

    def __init__(self, limiter: ConcurrencyLimiter, load: Load | None) -> None:
        self._house = limiter
        self.capacity = maxsize if load is None else load.capacity
        """How many may be inside, itself among them."""
        self._inside = False

    def passes(self, resume: Resume) -> bool:
        """See `tokenfall.ports.Barrier`."""
        if not self._inside:
            if not self.fits():
                self._house.queue(self, resume)
                return False
            self.enter()
        return True

    def fits(self) -> bool:
        """Whether there is room."""
        return self._house.inside < self.capacity

    def enter(self) -> None:
        """Come in."""
        self._inside = True
        self._house.enter()

    def forget(self, resume: Resume) -> None:
        """Who waited waits no more."""
        self._house.forget(self)

    def leave(self) -> None:
        """The answer has ended, inside or not."""
        if self._inside:
            self._inside = False
            self._house.leave()
        else:
            self._house.forget(self)
