import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tokenfall.slicing import scheduler
from tokenfall.slicing.computation import Sliced
from tokenfall.slicing.scheduler import AT_ONCE_S, SLICE_S, later, run_sliced, start_sliced

AT_ONCE = 3
"""Number of slices that a request runs synchronously, on the fake clock."""


class Clock:
    """Fake processor time that advances only in slices."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(scheduler, "thread_time", clock)
    return clock


class Work:
    """Creates sliced computations whose slices each take `slice_s`."""

    def __init__(self, clock: Clock, slice_s: float = AT_ONCE_S / AT_ONCE * 1.01) -> None:
        self.log: list[str] = []
        self._clock = clock
        self._slice_s = slice_s

    def slices(self, slices: int, name: str = "") -> Sliced[str]:
        for number in range(slices):
            if number:
                yield
            self._clock.now_s += self._slice_s
            self.log.append(f"{name}{number}")
        return f"{name} done"

    def failing(self, slices: int) -> Sliced[str]:
        yield from self.slices(slices)
        raise ValueError("no")


@pytest.fixture
def work(clock: Clock) -> Work:
    return Work(clock)


@pytest.mark.parametrize("slices", range(1, AT_ONCE + 1))
def test_short_work_returns_its_result_without_a_coroutine(work: Work, slices: int) -> None:
    assert start_sliced(work.slices(slices)) == " done"


def test_slices_are_limited_by_time_not_by_number(clock: Clock) -> None:
    assert start_sliced(Work(clock, slice_s=0.0).slices(1_000)) == " done"


async def test_longer_work_runs_only_its_first_slices_at_once(work: Work) -> None:
    remainder = start_sliced(work.slices(AT_ONCE + 2))

    assert len(work.log) == AT_ONCE
    assert not isinstance(remainder, str)
    assert await remainder == " done"
    assert work.log == [str(number) for number in range(AT_ONCE + 2)]


async def test_turn_runs_as_many_slices_as_its_time_allows(clock: Clock) -> None:
    work = Work(clock, slice_s=SLICE_S / 4)

    async def other_task() -> None:
        while len(work.log) < 12:
            work.log.append("-")
            await asyncio.sleep(0)

    await asyncio.gather(later(work.slices(12)), other_task())

    runs = [run for run in "".join(work.log).split("-") if run]
    assert runs[0] == "0123"


async def test_later_runs_no_slice_at_once(work: Work) -> None:
    remainder: Coroutine[Any, Any, str] = later(work.slices(2))

    assert work.log == []
    assert await remainder == " done"


@pytest.mark.parametrize("slices", [1, AT_ONCE, AT_ONCE + 2])
async def test_exception_in_any_slice_is_raised(work: Work, slices: int) -> None:
    with pytest.raises(ValueError, match="no"):
        await run_sliced(work.failing(slices))
    assert await run_sliced(work.slices(2, "next")) == "next done"


async def test_other_tasks_run_between_two_slices(clock: Clock) -> None:
    work = Work(clock, slice_s=SLICE_S)

    async def other_task() -> None:
        for _ in range(12):
            work.log.append("-")
            await asyncio.sleep(0)

    await asyncio.gather(run_sliced(work.slices(4)), other_task())

    assert "".join(work.log).strip("-").count("-") >= 3
    assert not any(f"{number}{number + 1}" in "".join(work.log) for number in range(3))


async def test_several_computations_run_one_slice_per_turn_in_total(clock: Clock) -> None:
    work = Work(clock, slice_s=SLICE_S)

    async def turns() -> None:
        while len([each for each in work.log if each != "|"]) < 9:
            work.log.append("|")
            await asyncio.sleep(0)

    ends = await asyncio.gather(*(run_sliced(work.slices(3, name)) for name in "abc"), turns())

    assert ends[:3] == ["a done", "b done", "c done"]
    in_turns = "".join(work.log).split("|")[1:]  # the first slices run at the start of each computation
    assert max(len(turn) // 2 for turn in in_turns) == 1, in_turns


async def test_cancelled_work_is_closed_and_does_not_block_others(work: Work, clock: Clock) -> None:
    closed = []

    def endless() -> Sliced[str]:
        try:
            while True:
                clock.now_s += SLICE_S
                yield
        finally:
            closed.append(True)

    leaving = asyncio.create_task(run_sliced(endless()))
    staying = asyncio.create_task(run_sliced(work.slices(5)))
    for _ in range(3):
        await asyncio.sleep(0)
    leaving.cancel()

    assert await staying == " done"
    assert leaving.cancelled()
    assert closed == [True]
