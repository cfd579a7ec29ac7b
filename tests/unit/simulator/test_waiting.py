import asyncio

import pytest

from tokenfall.simulator.gates import TestGate
from tokenfall.simulator.waiting import passed

from tests.doubles.connections import settle


async def test_who_may_pass_does_so_at_once() -> None:
    gate = TestGate()
    gate.open()
    await passed(gate)

    assert gate.passed == 1


async def test_who_waits_goes_on_when_it_is_let_through() -> None:
    gate = TestGate()
    waiting = asyncio.create_task(passed(gate))
    await settle()
    assert (gate.waiting, waiting.done()) == (1, False)
    gate.allow(1)
    await waiting

    assert (gate.waiting, gate.passed, gate.allowed) == (0, 1, 0)


async def test_who_is_woken_for_nothing_waits_on() -> None:
    gate = TestGate()
    waiting = asyncio.create_task(passed(gate))
    await settle()
    gate.open()
    gate.close()
    await settle()
    assert (gate.waiting, waiting.done()) == (1, False)
    gate.open()
    await waiting


@pytest.mark.parametrize("woken", [False, True])
async def test_who_is_cancelled_gives_its_place_up(woken: bool) -> None:
    gate = TestGate()
    waiting = asyncio.create_task(passed(gate))
    await settle()
    if woken:
        gate.allow(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert (gate.waiting, gate.allowed) == (0, int(woken))
