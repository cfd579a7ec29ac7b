import asyncio

import pytest

from tokenfall.slicing.computation import LOOP_TURN, NOTHING


async def test_loop_turn_lets_another_task_run_once() -> None:
    log: list[str] = []

    async def other() -> None:
        for number in range(3):
            log.append(f"other {number}")
            await LOOP_TURN

    task = asyncio.ensure_future(other())
    await LOOP_TURN
    log.append("this")
    await task

    assert log == ["other 0", "this", "other 1", "other 2"]


def test_awaiting_nothing_does_not_suspend() -> None:
    async def wait() -> None:
        await NOTHING

    with pytest.raises(StopIteration):
        wait().send(None)
