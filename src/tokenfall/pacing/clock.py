"""Time for code that awaits, on the wheel: no timer a sleeper."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future

    from tokenfall.ports import Wheel


class WheelClock:
    """A `Clock` whose sleepers wait on `wheel`."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel

    def now(self) -> float:
        return self._wheel.now()

    async def sleep_until(self, deadline_s: float) -> None:
        if deadline_s <= self._wheel.now():
            return
        import asyncio  # noqa: PLC0415 - whoever awaits has it

        sleeper = _Sleeper(asyncio.get_running_loop().create_future())
        self._wheel.join(sleeper, deadline_s)
        try:
            await sleeper.woken
        finally:
            self._wheel.leave(sleeper)


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
