"""Time that stands still until a test moves it."""

import asyncio
from collections.abc import Callable
from typing import cast

from tokenfall.ports import Timed

RESTLESS = 10_000
"""So many calls of a loop are no test any more but a defect."""


class FakeClock:
    """Monotonic seconds, called as a limiter or a wheel calls its `now`."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class FakeWheel:
    """A `Wheel` that plays each entry at its very deadline, in the order of deadlines, while `advance` runs."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self.joins = 0
        self.waiting: dict[Timed, float] = {}
        self._slot: dict[Timed, None] = {}

    def now(self) -> float:
        return self.now_s

    def join(self, entry: Timed, deadline_s: float) -> None:
        self.joins += 1
        self.waiting[entry] = deadline_s
        self._slot[entry] = None
        entry.slot = self._slot

    def leave(self, entry: Timed) -> None:
        self.waiting.pop(entry, None)
        self._slot.pop(entry, None)
        entry.slot = None

    def advance(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.waiting and min(self.waiting.values()) <= until_s:
            entry = min(self.waiting, key=self.waiting.__getitem__)
            self.now_s = max(self.now_s, self.waiting[entry])
            self.leave(entry)
            again_s = entry.due(self.now_s)
            if again_s is not None:
                self.join(entry, again_s)
        self.now_s = until_s


class InstantClock:
    """A `Clock` on which sleeping moves the time; `slept` holds every deadline that was asked for."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self.slept: list[float] = []

    def now(self) -> float:
        return self.now_s

    async def sleep_until(self, deadline_s: float) -> None:
        self.slept.append(deadline_s)
        self.now_s = max(self.now_s, deadline_s)


class FakeHandle:
    """What a loop returns for a call to come."""

    def __init__(self, when_s: float, call: Callable[[], object]) -> None:
        self.when_s = when_s
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """Timers of an event loop, fired by hand at their very time, or as much off it as `fire` is told."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._handles: list[FakeHandle] = []

    def call_later(self, delay_s: float, call: Callable[..., object], *args: object) -> FakeHandle:
        handle = FakeHandle(self._clock() + delay_s, lambda: call(*args))
        self._handles.append(handle)
        return handle

    def call_soon(self, call: Callable[..., object], *args: object) -> FakeHandle:
        return self.call_later(0.0, call, *args)

    @property
    def armed(self) -> list[FakeHandle]:
        """Calls to come, the next one first."""
        self._handles = [handle for handle in self._handles if not handle.cancelled]
        return sorted(self._handles, key=lambda handle: handle.when_s)

    def fire(self, *, late_s: float = 0.0) -> None:
        """Move the clock to the next call, and `late_s` on, and make that call alone."""
        handle = self.armed[0]
        self._handles.remove(handle)
        self._clock.now_s = max(self._clock.now_s, handle.when_s + late_s)
        handle.call()

    def run(self) -> None:
        """Fire until nothing is armed."""
        for _ in range(RESTLESS):
            if not self.armed:
                return
            self.fire()
        raise AssertionError("the loop never comes to rest")

    def as_loop(self) -> asyncio.AbstractEventLoop:
        """Itself, under the type that its users ask for."""
        return cast(asyncio.AbstractEventLoop, self)
