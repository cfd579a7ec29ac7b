"""Gates: barriers in simulated streams that a test opens, by name.

Streams wait at them; `/sim/gates` opens and closes them. Uses no event loop and no timer: a waiting stream registers a
callback, which is called when it may continue. Must not depend on the limit of concurrent responses.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from weakref import WeakValueDictionary

    Resume = Callable[[], None]


MAX_GATES = 1_000
"""Maximum number of gates that are retained while no stream uses them."""

IDLE_S = 3_600.0
"""How long such a gate is retained after its last use."""


class TestGate:
    """A gate that a test opens and closes: initially closed, it lets through as many tokens as are allowed.

    FIFO: each allowed token is reserved for the stream that has waited longest.
    """

    __test__ = False  # pytest would collect the class because of its name

    def __init__(self) -> None:
        self.is_open = False
        self.allowed = 0
        """Tokens that may still pass while the gate is closed, and are not reserved."""
        self.passed = 0
        self._waiting: dict[Resume, None] = {}
        self._reserved: set[Resume] = set()

    @property
    def waiting(self) -> int:
        """Number of waiting streams."""
        return len(self._waiting)

    def open(self) -> None:
        """Let all tokens pass."""
        self.is_open = True
        waiting, self._waiting = self._waiting, {}
        for resume in waiting:
            resume()

    def close(self) -> None:
        """Let no more tokens pass, including those allowed before."""
        self.is_open = False
        self.allowed = 0
        self._reserved.clear()

    def allow(self, tokens: int) -> None:
        """Let `tokens` more tokens pass."""
        self.allowed += tokens
        self._reserve()

    def passes(self, resume: Resume) -> bool:
        """See `tokenfall.ports.Barrier`."""
        if resume in self._reserved:
            self._reserved.remove(resume)
        elif not self.is_open:
            if not self.allowed:
                self._waiting[resume] = None
                return False
            self.allowed -= 1
        self.passed += 1
        return True

    def cancel_wait(self, resume: Resume) -> None:
        """Cancel the wait; a token reserved for it goes to the next stream."""
        self._waiting.pop(resume, None)
        if resume in self._reserved:
            self._reserved.remove(resume)
            self.allow(1)

    def _reserve(self) -> None:
        while self.allowed and self._waiting:
            resume = next(iter(self._waiting))
            del self._waiting[resume]
            self._reserved.add(resume)
            self.allowed -= 1
            resume()


class Gates:
    """The gates of a server by owner and name; each is created on first use. The owners do not share any gate.

    A gate that no request has changed exists only while a stream uses it, because a new one would be equal. So callers
    cannot exhaust the limit by naming gates. A changed gate is pinned for `IDLE_S` after its last use by the clock
    `now`; without a clock, forever.
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self._now = now
        self._gates: WeakValueDictionary[tuple[str, str], TestGate] | None = None
        self._pinned: dict[tuple[str, str], tuple[float, TestGate]] = {}  # last use, gate; least recently used first

    def get(self, name: str, *, owner: str = "") -> TestGate:
        """The gate called `name`, created if it does not exist."""
        key = owner, name
        self._expire()
        if self._gates is None:
            from weakref import WeakValueDictionary  # noqa: PLC0415 - few servers have a gate

            self._gates = WeakValueDictionary()
        found = self._gates.get(key)
        if found is None:
            found = self._gates[key] = TestGate()
        elif key in self._pinned:
            self._pin(key, found)
        return found

    def pinned(self, name: str, *, owner: str = "") -> TestGate:
        """As `get`, and retain the gate even while no stream uses it. Raises ValueError above `MAX_GATES`."""
        found = self.get(name, owner=owner)
        key = owner, name
        if key not in self._pinned and sum(pinned[0] == owner for pinned in self._pinned) >= MAX_GATES:
            raise ValueError(f"more than {MAX_GATES} gates")
        self._pin(key, found)
        return found

    def all(self, *, owner: str = "") -> dict[str, TestGate]:
        """All gates of `owner` by name."""
        self._expire()
        gates = () if self._gates is None else list(self._gates.items())
        return {name: gate for (gate_owner, name), gate in gates if gate_owner == owner}

    def drop(self, name: str, *, owner: str = "") -> bool:
        """Delete a gate and let its waiting streams continue. False if it did not exist."""
        key = owner, name
        found = None if self._gates is None else self._gates.pop(key, None)
        self._pinned.pop(key, None)
        if found is not None:
            found.open()
        return found is not None

    def clear(self) -> None:
        """Delete all gates of all owners."""
        for owner, name in list(self._gates or ()):
            self.drop(name, owner=owner)

    def _pin(self, key: tuple[str, str], gate: TestGate) -> None:
        self._pinned.pop(key, None)
        self._pinned[key] = (self._now(), gate)

    def _expire(self) -> None:
        """Unpin gates that have expired; one that a stream uses continues to exist."""
        before_s = self._now() - IDLE_S
        while self._pinned:
            key, (used_s, _) = next(iter(self._pinned.items()))
            if used_s > before_s:
                return
            del self._pinned[key]
