"""Time for code that awaits, on the wheel: no timer a sleeper."""

import asyncio

from tokenfall.ports import Timed, Wheel
from tokenfall.slices import TURN

PASSED_AT_ONCE = 128
"""So many deadlines in the past return at once, then the other tasks have a turn: with gaps of 0 all are past."""


class WheelClock:
    """A `Clock` whose sleepers wait on `wheel`."""

    def __init__(self, wheel: Wheel, loop: asyncio.AbstractEventLoop) -> None:
        self._wheel = wheel
        self._loop = loop
        self._passed = 0

    def now(self) -> float:
        return self._wheel.now()

    async def sleep_until(self, deadline_s: float) -> None:
        if deadline_s <= self._wheel.now():
            self._passed += 1
            if self._passed % PASSED_AT_ONCE == 0:
                await TURN
            return
        sleeper = _Sleeper(self._loop.create_future())
        self._wheel.join(sleeper, deadline_s)
        try:
            await sleeper.woken
        finally:
            self._wheel.leave(sleeper)


class _Sleeper:
    __slots__ = ("slot", "woken")

    def __init__(self, woken: asyncio.Future[None]) -> None:
        self.slot: dict[Timed, None] | None = None
        self.woken = woken

    def due(self, now_s: float) -> float | None:
        if not self.woken.done():
            self.woken.set_result(None)
        return None
