import asyncio

import pytest

from tokenfall.simulator.gates import TestGate
from tokenfall.simulator.waiting import wait_at

from tests.doubles.connections import settle


async def test_open_gate_does_not_wait() -> None:
    gate = TestGate()
    gate.open()
    await wait_at(gate)

    assert gate.passed == 1


async def test_waiter_continues_when_it_is_admitted() -> None:
    gate = TestGate()
    waiting = asyncio.create_task(wait_at(gate))
    await settle()
    assert (gate.waiting, waiting.done()) == (1, False)
    gate.allow(1)
    await waiting

    assert (gate.waiting, gate.passed, gate.allowed) == (0, 1, 0)


async def test_spurious_wakeup_continues_to_wait() -> None:
    gate = TestGate()
    waiting = asyncio.create_task(wait_at(gate))
    await settle()
    gate.open()
    gate.close()
    await settle()
    assert (gate.waiting, waiting.done()) == (1, False)
    gate.open()
    await waiting


@pytest.mark.parametrize("woken", [False, True])
async def test_cancelled_waiter_gives_up_its_position(woken: bool) -> None:
    gate = TestGate()
    waiting = asyncio.create_task(wait_at(gate))
    await settle()
    if woken:
        gate.allow(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert (gate.waiting, gate.allowed) == (0, int(woken))
