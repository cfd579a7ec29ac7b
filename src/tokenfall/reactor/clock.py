"""A clock for coroutines, on the timer wheel, so that a sleeping task needs no asyncio timer."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future

    from tokenfall.ports import Wheel

PAST_DEADLINES_PER_YIELD = 128
"""Of this many sleeps with a past deadline, one yields to other tasks; with gaps of 0, all deadlines are past."""


class WheelClock:
    """A `Clock` whose sleeping tasks wait on `wheel`."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._passed = 0

    def now(self) -> float:
        return self._wheel.now()

    async def sleep_until(self, deadline_s: float) -> None:
        if deadline_s <= self._wheel.now():
            self._passed += 1
            if self._passed % PAST_DEADLINES_PER_YIELD == 0:
                from tokenfall.slicing.computation import LOOP_TURN  # noqa: PLC0415 - its imports are loaded once a coroutine runs

                await LOOP_TURN
            return
        import asyncio  # noqa: PLC0415 - it is loaded once a coroutine runs

        sleeper = _Sleeper(asyncio.get_running_loop().create_future())
        self._wheel.schedule(sleeper, deadline_s)
        try:
            await sleeper.woken
        finally:
            self._wheel.cancel(sleeper)


class _Sleeper:
    __slots__ = ("deadline_s", "slot", "woken")

    def __init__(self, woken: Future[None]) -> None:
        self.slot: int | None = None
        self.deadline_s = 0.0
        self.woken = woken

    def due(self, now_s: float) -> float | None:
        if not self.woken.done():
            self.woken.set_result(None)
        return None
