import asyncio

import pytest

from tokenfall.errors import DetachedLimit
from tokenfall.turns.turn import RunningTurn

from tests.doubles.clocks import FakeClock
from tests.doubles.turns import detached_turns, running_turn


def ended_by(turn: RunningTurn) -> str | None:
    """The error code that ended the turn, None if it is running."""
    try:
        turn.begin()
    except DetachedLimit as error:
        return error.message
    return None


async def run_until_ended(turn: RunningTurn) -> str:
    """Run a turn until it is ended and return the error code."""
    turn.begin()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        error = turn.cancelled()
        assert error is not None
        return error.message
    raise AssertionError


async def test_oldest_detached_turn_is_ended_over_the_limit() -> None:
    detached = detached_turns(max_turns=2)
    turns = [running_turn() for _ in range(4)]
    for turn in turns[:3]:
        detached.add(turn, held_bytes=1)
    detached.remove(turns[0])
    detached.add(turns[3], held_bytes=1)
    detached.close()

    assert [ended_by(turn) for turn in turns] == [
        "too many turns ran without their clients",
        "too many turns ran without their clients",
        None,
        None,
    ]


async def test_removed_turn_does_not_count_as_detached() -> None:
    detached = detached_turns(max_turns=1)
    first, second = running_turn(), running_turn()
    detached.add(first, held_bytes=1)
    detached.remove(first)
    detached.remove(first)
    detached.add(second, held_bytes=1)
    detached.close()

    assert (ended_by(first), ended_by(second), len(detached)) == (None, None, 1)


@pytest.mark.parametrize(
    ("held_bytes", "text", "thoughts"),
    [(60_000, "", ()), (1, "x" * 60_000, ()), (1, "", ("x" * 30_000, "y" * 30_000))],
)
async def test_questions_texts_and_reasoning_count_as_memory(
    held_bytes: int, text: str, thoughts: tuple[str, ...]
) -> None:
    detached = detached_turns(max_bytes=100_000)
    turns = [running_turn(text) for _ in range(2)]
    for turn in turns:
        for thought in thoughts:
            turn.add_thought(thought)
        detached.add(turn, held_bytes=held_bytes)
    detached.close()

    assert [ended_by(turn) for turn in turns] == [
        "the turns that ran without their clients used too much memory",
        None,
    ]


async def test_detached_turn_over_its_size_or_age_is_ended_by_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenfall.turns.detached.LOOK_EVERY_S", 0.001)
    clock = FakeClock()
    detached = detached_turns(clock, max_s=10.0)
    old, young = running_turn(), running_turn()
    detached.add(old, held_bytes=1)
    clock.advance(9.0)
    detached.add(young, held_bytes=1)
    clock.advance(1.0)
    reason = await asyncio.wait_for(run_until_ended(old), 10)
    detached.close()

    assert reason == "the turn ran without its client for too long"
    assert ended_by(young) is None
