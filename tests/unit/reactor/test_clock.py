import asyncio

import pytest

from tokenfall.reactor.clock import PAST_DEADLINES_PER_YIELD, WheelClock

from tests.doubles.clocks import FakeWheel


@pytest.fixture
def wheel() -> FakeWheel:
    return FakeWheel(1000.0)


@pytest.fixture
async def clock(wheel: FakeWheel) -> WheelClock:
    return WheelClock(wheel)


async def test_now_is_the_wheels_time(wheel: FakeWheel, clock: WheelClock) -> None:
    wheel.now_s = 7.5

    assert clock.now() == 7.5


@pytest.mark.parametrize("deadline_s", [999.0, 1000.0])
async def test_past_deadline_returns_at_once(wheel: FakeWheel, clock: WheelClock, deadline_s: float) -> None:
    await clock.sleep_until(deadline_s)

    assert wheel.scheduled_count == 0


async def test_many_past_deadlines_yield_to_other_tasks(clock: WheelClock) -> None:
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    waiting = asyncio.create_task(other())
    for _ in range(PAST_DEADLINES_PER_YIELD - 1):
        await clock.sleep_until(999.0)
    assert turns == []

    await clock.sleep_until(999.0)

    assert turns == ["other"]
    await waiting


async def test_sleeper_wakes_at_its_deadline_and_not_before(wheel: FakeWheel, clock: WheelClock) -> None:
    sleeper = asyncio.create_task(clock.sleep_until(1000.5))
    await asyncio.sleep(0)
    wheel.advance(0.4)
    await asyncio.sleep(0)
    assert not sleeper.done()
    wheel.advance(0.2)
    await sleeper

    assert wheel.waiting == {}


async def test_cancelled_sleeper_leaves_the_wheel(wheel: FakeWheel, clock: WheelClock) -> None:
    sleeper = asyncio.create_task(clock.sleep_until(1000.5))
    await asyncio.sleep(0)
    assert len(wheel.waiting) == 1
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper

    assert wheel.waiting == {}


async def test_sleeper_cancelled_as_it_is_woken_ends_once(wheel: FakeWheel, clock: WheelClock) -> None:
    sleeper = asyncio.create_task(clock.sleep_until(1000.5))
    await asyncio.sleep(0)
    sleeper.cancel()
    wheel.advance(1.0)  # the wheel finds the future already cancelled
    with pytest.raises(asyncio.CancelledError):
        await sleeper
