import asyncio

import pytest

from tokenfall.slices import AT_ONCE, Sliced, at_once, begun, run_sliced


def counting(slices: int, log: list[str], name: str = "") -> Sliced[str]:
    for number in range(slices):
        if number:
            yield
        log.append(f"{name}{number}")
    return f"{name} done"


def failing(slices: int) -> Sliced[str]:
    yield from counting(slices, [])
    raise ValueError("no")


def test_at_once_runs_all_slices() -> None:
    log: list[str] = []

    assert at_once(counting(3, log)) == " done"
    assert log == ["0", "1", "2"]


@pytest.mark.parametrize("slices", range(1, AT_ONCE + 1))
def test_short_work_gives_its_result_and_no_coroutine(slices: int) -> None:
    assert begun(counting(slices, [])) == " done"


async def test_of_longer_work_only_the_first_slices_run_at_once() -> None:
    log: list[str] = []
    rest = begun(counting(AT_ONCE + 2, log))

    assert len(log) == AT_ONCE
    assert not isinstance(rest, str)
    assert await rest == " done"
    assert log == [str(number) for number in range(AT_ONCE + 2)]


@pytest.mark.parametrize("slices", [1, AT_ONCE, AT_ONCE + 2])
async def test_a_failure_is_raised_wherever_it_happens(slices: int) -> None:
    with pytest.raises(ValueError, match="no"):
        await run_sliced(failing(slices))
    assert await run_sliced(counting(2, [], "next")) == "next done"


async def test_other_tasks_have_a_turn_between_two_slices() -> None:
    log: list[str] = []

    async def beside() -> None:
        for _ in range(12):
            log.append("-")
            await asyncio.sleep(0)

    await asyncio.gather(run_sliced(counting(4, log)), beside())

    assert "".join(log).strip("-").count("-") >= 3
    assert not any(f"{number}{number + 1}" in "".join(log) for number in range(3))


async def test_several_works_run_one_slice_a_turn_together() -> None:
    log: list[str] = []

    async def turns() -> None:
        while len([each for each in log if each != "|"]) < 9:
            log.append("|")
            await asyncio.sleep(0)

    ends = await asyncio.gather(*(run_sliced(counting(3, log, name)) for name in "abc"), turns())

    assert ends[:3] == ["a done", "b done", "c done"]
    in_turns = "".join(log).split("|")[1:]  # the first slices run where the works begin
    assert max(len(turn) // 2 for turn in in_turns) == 1, in_turns


async def test_cancelled_work_is_closed_and_holds_up_no_other() -> None:
    closed = []

    def endless() -> Sliced[str]:
        try:
            while True:
                yield
        finally:
            closed.append(True)

    leaving = asyncio.create_task(run_sliced(endless()))
    staying = asyncio.create_task(run_sliced(counting(5, [])))
    for _ in range(3):
        await asyncio.sleep(0)
    leaving.cancel()

    assert await staying == " done"
    assert leaving.cancelled()
    assert closed == [True]
