"""What makes a simulated stream wait for something other than time: gates that a test opens, and a full house.

No loop and no clock: who must wait leaves a callback, and whoever makes room calls it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.simulator.values import Load

    Resume = Callable[[], None]


MAX_GATES = 1_000


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
        """See `tokenfall.ports.Hold`."""
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
    """The gates of a server by name; the first who names one makes it."""

    def __init__(self) -> None:
        self._gates: dict[str, TestGate] = {}

    def get(self, name: str) -> TestGate:
        """The gate called `name`. Raises ValueError when there are too many."""
        found = self._gates.get(name)
        if found is None:
            if len(self._gates) >= MAX_GATES:
                raise ValueError(f"more than {MAX_GATES} gates")
            found = self._gates[name] = TestGate()
        return found

    def known(self) -> dict[str, TestGate]:
        """All of them."""
        return dict(self._gates)

    def drop(self, name: str) -> bool:
        """Forget a gate; who waited there goes on. False when there was none."""
        found = self._gates.pop(name, None)
        if found is not None:
            found.open()
        return found is not None

    def clear(self) -> None:
        """Forget all of them."""
        for name in list(self._gates):
            self.drop(name)


class House:
    """Counts the simulated answers under way, and makes latecomers wait where the grammar's `load` says so.

    They come in in the order in which they came: a place is given to the first of them as soon as it is free.
    """

    def __init__(self) -> None:
        self.inside = 0
        self._waiting: dict[Ticket, Resume] = {}

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
        self.admit()

    def ticket(self, load: Load | None) -> Ticket:
        """For one answer, to be let in when there is room; at once where there is no `load`."""
        return Ticket(self, load)

    def queue(self, ticket: Ticket, resume: Resume) -> None:
        """Wait behind those who wait already."""
        self._waiting[ticket] = resume

    def forget(self, ticket: Ticket) -> None:
        """Who waited waits no more."""
        self._waiting.pop(ticket, None)

    def admit(self) -> None:
        """Let in who may come in, until the first has to wait on."""
        while self._waiting:
            ticket = next(iter(self._waiting))
            if not ticket.fits():
                return
            resume = self._waiting.pop(ticket)
            ticket.enter()
            resume()


class Ticket:
    """Lets one answer into the house, once. A `tokenfall.ports.Hold`."""

    def __init__(self, house: House, load: Load | None) -> None:
        self._house = house
        self._capacity = None if load is None else load.capacity
        self._inside = False

    def passes(self, resume: Resume) -> bool:
        """See `tokenfall.ports.Hold`."""
        if not self._inside:
            if not self.fits() or (self._capacity is not None and self._house.waiting):
                self._house.queue(self, resume)
                return False
            self.enter()
        return True

    def fits(self) -> bool:
        """Whether there is room."""
        return self._capacity is None or self._house.inside < self._capacity

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
            self._house.admit()
