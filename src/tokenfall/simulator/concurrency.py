"""The limit of concurrent simulated responses: it counts those of each caller, and queues those above their `load`.

Each response holds a permit. Uses no event loop and no timer: a queued stream registers a callback, which is called
when it may continue. Must not depend on how long a response takes or why it ended.
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


SPARE = 64
"""Number of cancelled queue entries up to which the queue is not rebuilt."""


class ConcurrencyLimiters:
    """The limiters of all callers, which are separate, so that a caller cannot delay others.

    Counts all simulated responses in progress. The limiter of a caller exists as long as one of its permits.
    """

    def __init__(self) -> None:
        self.active = 0
        """Responses in progress, of all callers."""
        self._unlimited = ConcurrencyLimiter(self)
        self._callers: WeakValueDictionary[str, ConcurrencyLimiter] | None = None

    @property
    def waiting(self) -> int:
        """Number of waiting streams of all callers."""
        limiters = () if self._callers is None else list(self._callers.values())
        return sum(limiter.waiting for limiter in limiters)

    def acquire(self) -> None:
        """Count a response that begins."""
        self.active += 1

    def release(self) -> None:
        """Uncount a response that has ended, successfully or not."""
        self.active -= 1

    def of(self, caller: str) -> ConcurrencyLimiter:
        """The limiter of one caller."""
        if self._callers is None:
            from weakref import WeakValueDictionary  # noqa: PLC0415 - few servers have a load

            self._callers = WeakValueDictionary()
        found = self._callers.get(caller)
        if found is None:
            found = self._callers[caller] = ConcurrencyLimiter(self)
        return found

    def permit(self, load: Load | None, *, caller: str = "") -> Permit:
        """A permit for one response; without `load` it passes at once."""
        return Permit(self._unlimited if load is None else self.of(caller), load)


class ConcurrencyLimiter:
    """Counts the responses of one caller with a `load`, and queues those above the capacity of their `load`.

    When a response ends, waiting streams are admitted as their capacities allow: largest capacity first, then FIFO. So
    a stream with a small capacity does not block the others.
    """

    def __init__(self, total: ConcurrencyLimiters) -> None:
        """`total` counts the responses of all callers."""
        self.active = 0
        self._total = total
        self._waiting: dict[Permit, Resume] = {}
        self._order: list[tuple[int, int, Permit]] = []
        """Heap of waiting permits, largest capacity first. Cancelled permits stay until they reach the top."""
        self._arrivals = 0

    @property
    def waiting(self) -> int:
        """Number of waiting streams."""
        return len(self._waiting)

    def factor(self, load: Load) -> float:
        """Current factor of gaps."""
        return 1 + (load.factor - 1) * min(self.active, load.capacity) / load.capacity

    def acquire(self) -> None:
        """Count a response that begins."""
        self.active += 1
        self._total.acquire()

    def release(self) -> None:
        """Uncount a response that has ended, successfully or not, and admit waiting ones."""
        self.active -= 1
        self._total.release()
        if self._order:
            self._admit()

    def queue(self, permit: Permit, resume: Resume) -> None:
        """Add a permit to the queue, or replace its callback."""
        if permit not in self._waiting:
            self._arrivals += 1
            heappush(self._order, (-permit.capacity, self._arrivals, permit))
        self._waiting[permit] = resume

    def cancel_wait(self, permit: Permit) -> None:
        """Cancel the wait of a permit."""
        if self._waiting.pop(permit, None) is not None and len(self._order) > 2 * len(self._waiting) + SPARE:
            self._order = [entry for entry in self._order if entry[2] in self._waiting]
            heapify(self._order)

    def _admit(self) -> None:
        """Admit the waiting permits that fit: if the one with the largest capacity does not, no other does."""
        while self._order:
            permit = self._order[0][2]
            if permit in self._waiting and not permit.fits():
                return
            heappop(self._order)
            resume = self._waiting.pop(permit, None)
            if resume is not None:
                permit.acquire()
                resume()


class Permit:
    """Admits one response, once. A `tokenfall.ports.Barrier`."""

    def __init__(self, limiter: ConcurrencyLimiter, load: Load | None) -> None:
        self._limiter = limiter
        self.capacity = maxsize if load is None else load.capacity
        """Maximum number of responses in progress, including its own."""
        self._admitted = False

    def passes(self, resume: Resume) -> bool:
        """See `tokenfall.ports.Barrier`."""
        if not self._admitted:
            if not self.fits():
                self._limiter.queue(self, resume)
                return False
            self.acquire()
        return True

    def fits(self) -> bool:
        """Whether the capacity allows one more response."""
        return self._limiter.active < self.capacity

    def acquire(self) -> None:
        """Count its response as in progress."""
        self._admitted = True
        self._limiter.acquire()

    def cancel_wait(self, resume: Resume) -> None:
        """See `tokenfall.ports.Barrier`."""
        self._limiter.cancel_wait(self)

    def release(self) -> None:
        """Call at the end of the response, whether it was admitted or not."""
        if self._admitted:
            self._admitted = False
            self._limiter.release()
        else:
            self._limiter.cancel_wait(self)
