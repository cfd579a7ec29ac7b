import asyncio
from collections.abc import Callable

import pytest

from tokenfall.conversations import Claim, Conversation, TurnEnd
from tokenfall.errors import (
    IdempotencyMismatch,
    IdempotencyUnavailable,
    NotFound,
    ResumeExpired,
    StoreUnavailable,
    TurnInterrupted,
    TurnStopped,
)
from tokenfall.events import Finished
from tokenfall.ports import Followed
from tokenfall.turns.registry import OVERHEAD_BYTES, TurnRegistry
from tokenfall.turns.turn import RunningTurn

from tests.doubles.clocks import FakeClock
from tests.doubles.connections import settle
from tests.doubles.stores import FakeSharedTurns
from tests.doubles.turns import HERE, RecordingListener, running_turn, turn_registry


class FakeTimers:
    """Replaces the loop's `call_later`; timers fire when the test calls `fire`."""

    def __init__(self) -> None:
        self._pending: list[tuple[float, Callable[[], object], asyncio.Handle]] = []

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> asyncio.Handle:
        handle = asyncio.Handle(callback, (), asyncio.get_running_loop())
        self._pending.append((delay_s, callback, handle))
        return handle

    def delays_s(self) -> list[float]:
        return [delay_s for delay_s, _, handle in self._pending if not handle.cancelled()]

    def fire(self) -> None:
        pending, self._pending = self._pending, []
        for _, callback, handle in pending:
            if not handle.cancelled():
                callback()


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> FakeTimers:
    timers = FakeTimers()
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", timers.call_later)
    return timers


GENUINE = TurnEnd(Finished("stop", "m"))
BROKEN = TurnEnd(code=TurnInterrupted.code, message="left")


def add_ended(turns: TurnRegistry, *texts: str, end: TurnEnd = GENUINE, thought: str = "") -> RunningTurn:
    """Add a turn, finish it and return it."""
    turn = running_turn(*texts)
    if thought:
        turn.add_thought(thought)
    turns.add(turn)
    finish(turns, turn, end)
    return turn


def finish(turns: TurnRegistry, turn: RunningTurn, end: TurnEnd = GENUINE) -> None:
    turn.finish(end)
    turns.retain(turn)


async def followed_texts(turns: TurnRegistry, turn_id: str, *, after: int = 0) -> list[str]:
    listener = RecordingListener()
    await (await turns.follow("alice", turn_id, after=after)).run(listener.on_event)
    return listener.texts


async def is_found(turns: TurnRegistry, turn: RunningTurn) -> bool:
    try:
        await turns.follow("alice", turn.id, after=0)
    except NotFound:
        return False
    return True


# Lookup


async def test_running_and_ended_turns_can_be_followed() -> None:
    turns = turn_registry()
    ended_turn = add_ended(turns, "a", "b")
    running = running_turn("c")
    turns.add(running)
    hearing = asyncio.ensure_future(followed_texts(turns, running.id))
    await settle()
    finish(turns, running)

    assert await followed_texts(turns, ended_turn.id, after=1) == ["b"]
    assert await hearing == ["c"]
    await turns.close()


async def test_turn_is_found_only_by_its_owner() -> None:
    turns = turn_registry()
    turn = add_ended(turns, "a")
    for owner in ("bob", ""):
        with pytest.raises(NotFound):
            await turns.follow(owner, turn.id, after=0)
        with pytest.raises(NotFound):
            await turns.stop(owner, turn.id)
    await turns.close()


async def test_follow_past_the_end_raises_resume_expired() -> None:
    turns = turn_registry()
    turn = running_turn("a", "b")
    turns.add(turn)

    assert (await turns.follow("alice", turn.id, after=2)).after == 2
    with pytest.raises(ResumeExpired, match="has 2 events"):
        await turns.follow("alice", turn.id, after=3)


@pytest.mark.parametrize(("alone", "hint"), [(True, False), (False, True)])
async def test_unknown_turn_error_hints_at_other_workers(alone: bool, hint: bool) -> None:
    with pytest.raises(NotFound) as caught:
        await turn_registry(alone=alone).follow("alice", "turn_1", after=0)

    assert ("TURNS_URL" in str(caught.value)) is hint


async def test_turn_of_another_process_can_be_followed_and_stopped() -> None:
    shared = FakeSharedTurns()
    shared.elsewhere["alice", "turn_1"] = ["a", "b"]
    turns = turn_registry(shared=shared, alone=False)
    await turns.stop("alice", "turn_1")

    assert await followed_texts(turns, "turn_1", after=1) == ["b"]
    assert shared.stopped == [("alice", "turn_1")]
    with pytest.raises(NotFound, match="not here either"):
        await turns.stop("bob", "turn_1")


async def test_new_turn_is_published_to_other_processes() -> None:
    shared = FakeSharedTurns()
    turns = turn_registry(shared=shared)
    turn = running_turn()
    turns.add(turn)
    await turns.close()

    assert shared.published == [turn]
    assert shared.closed


# Stop


async def test_stopping_waits_for_the_end() -> None:
    turns = turn_registry()
    turn = running_turn("a")
    turns.add(turn)
    stopping = [asyncio.ensure_future(turns.stop("alice", turn.id)) for _ in range(2)]
    await settle()
    assert not any(each.done() for each in stopping)
    with pytest.raises(TurnStopped):
        turn.begin()
    turn.add("b")
    await settle()
    assert not any(each.done() for each in stopping)
    finish(turns, turn, BROKEN)
    await asyncio.gather(*stopping)
    await turns.stop("alice", turn.id)
    await turns.close()


# Retention of ended turns


async def test_ended_turn_is_retained_for_a_limited_time(timers: FakeTimers) -> None:
    clock = FakeClock()
    turns = turn_registry(clock=clock, keep_s=60)
    first = add_ended(turns, "a")
    clock.advance(30)
    second = add_ended(turns, "b")
    assert timers.delays_s() == [60]
    clock.advance(29.9)
    timers.fire()
    assert await is_found(turns, first)
    clock.advance(0.1)
    timers.fire()
    assert not await is_found(turns, first)
    assert await is_found(turns, second)
    clock.advance(30)
    timers.fire()
    assert not await is_found(turns, second)
    assert timers.delays_s() == [], "no timer without ended turns"
    assert (len(turns), turns.claims) == (0, 0)


async def test_expired_turn_is_dropped_by_the_loops_timer() -> None:
    clock = FakeClock()
    turns = turn_registry(clock=clock, keep_s=0.001)
    turn = add_ended(turns, "a")
    clock.advance(0.001)
    until_s = asyncio.get_running_loop().time() + 10
    while await is_found(turns, turn):
        assert asyncio.get_running_loop().time() < until_s
        await asyncio.sleep(0)


async def test_oldest_ended_turns_are_dropped_over_the_memory_limit() -> None:
    turn = running_turn("x" * 10)
    size_bytes = OVERHEAD_BYTES + len(turn.conversation.id) + turn.size_bytes()
    turns = turn_registry(max_bytes=2 * size_bytes)
    ended = [add_ended(turns, "x" * 10) for _ in range(4)]

    assert [await is_found(turns, turn) for turn in ended] == [False, False, True, True]
    await turns.close()


async def test_reasoning_of_ended_turns_counts_as_memory() -> None:
    turns = turn_registry(max_bytes=2 * OVERHEAD_BYTES + 5_000)
    ended = [add_ended(turns, "x", thought="y" * 3_000) for _ in range(2)]

    assert [await is_found(turns, turn) for turn in ended] == [False, True]
    await turns.close()


async def test_turn_larger_than_the_memory_limit_is_dropped_at_once(timers: FakeTimers) -> None:
    turns = turn_registry(max_bytes=OVERHEAD_BYTES)

    assert not await is_found(turns, add_ended(turns, "x"))
    assert timers.delays_s() == []


async def test_running_turns_do_not_count_and_are_never_dropped() -> None:
    clock = FakeClock()
    turns = turn_registry(max_bytes=1, clock=clock)
    running = running_turn("x" * 100)
    turns.add(running)
    add_ended(turns, "y")
    clock.advance(1_000)
    add_ended(turns, "z")

    assert turns.running() == [running]
    assert await is_found(turns, running)


@pytest.mark.parametrize(
    ("texts", "end", "expected"),
    [((), BROKEN, False), ((), GENUINE, True), (("a",), BROKEN, True), (("",), BROKEN, True)],
    ids=["no text", "no text, genuine end", "text", "empty delta"],
)
async def test_turn_without_text_is_dropped_at_its_end(texts: tuple[str, ...], end: TurnEnd, expected: bool) -> None:
    turns = turn_registry()

    assert await is_found(turns, add_ended(turns, *texts, end=end)) is expected
    await turns.close()


# Idempotency keys


async def claimed(turns: TurnRegistry, turn: RunningTurn, *, key: str = "k", digest: str = "d") -> Followed | None:
    return await turns.claim(turn, key=key, digest=digest)


async def test_simultaneous_requests_with_one_key_share_a_turn() -> None:
    turns = turn_registry()
    turns_ = [running_turn() for _ in range(3)]
    first, *others = await asyncio.gather(*(claimed(turns, turn) for turn in turns_))

    assert first is None
    assert [other.id for other in others if other is not None] == [turns_[0].id] * 2
    assert [turn.idempotency_key for turn in turns_] == ["k", "", ""]
    assert turns.running() == [turns_[0]]


async def test_key_used_with_another_request_is_refused() -> None:
    turns = turn_registry()
    await claimed(turns, running_turn())
    with pytest.raises(IdempotencyMismatch):
        await claimed(turns, running_turn(), digest="other")


async def test_owners_have_separate_keys() -> None:
    turns = turn_registry()
    await claimed(turns, running_turn())
    others = running_turn(conversation=Conversation("bob", "default"))

    assert await claimed(turns, others, digest="other") is None


async def test_key_is_bound_as_long_as_its_turn_is_kept(timers: FakeTimers) -> None:
    clock = FakeClock()
    turns = turn_registry(clock=clock)
    turn = running_turn("a")
    await claimed(turns, turn)
    finish(turns, turn)
    replayed = await claimed(turns, running_turn())
    assert replayed is not None
    assert replayed.id == turn.id
    clock.advance(60)
    timers.fire()

    assert turns.claims == 0
    assert await claimed(turns, running_turn(), digest="other") is None


async def test_key_of_a_turn_without_text_is_free_again() -> None:
    turns = turn_registry()
    turn = running_turn()
    await claimed(turns, turn)
    finish(turns, turn, BROKEN)

    assert await claimed(turns, running_turn(), digest="other") is None


async def test_waiter_gets_the_key_if_the_first_client_leaves_before_the_engine_call() -> None:
    turns = turn_registry()
    first, second = running_turn(), running_turn()
    leaving = asyncio.ensure_future(claimed(turns, first))
    waiting = asyncio.ensure_future(claimed(turns, second))
    await asyncio.sleep(0)
    leaving.cancel()
    finish(turns, first, BROKEN)

    assert await waiting is None
    assert turns.running() == [second]
    assert leaving.cancelled()


async def test_keys_are_refused_if_workers_do_not_share_turns() -> None:
    turns = turn_registry(alone=False)
    with pytest.raises(IdempotencyUnavailable, match="TURNS_URL"):
        await claimed(turns, running_turn())

    assert turns.running() == []


async def test_key_is_claimed_in_all_processes() -> None:
    shared = FakeSharedTurns()
    turn = running_turn()

    assert await claimed(turn_registry(shared=shared, alone=False), turn) is None
    assert shared.claims == {("alice", "k"): Claim(turn.id, HERE.id, "d")}


async def test_turn_of_a_key_claimed_by_another_process_is_followed() -> None:
    shared = FakeSharedTurns()
    shared.claims["alice", "k"] = Claim("turn_1", "there", "d")
    shared.elsewhere["alice", "turn_1"] = ["a"]
    turns = turn_registry(shared=shared)
    followed = await claimed(turns, running_turn())

    assert followed is not None
    assert (followed.id, followed.conversation.id) == ("turn_1", "there")
    with pytest.raises(IdempotencyMismatch):
        await claimed(turns, running_turn(), digest="other")
    assert (len(turns), turns.claims) == (0, 0), "the other process may drop it at any time"


async def test_failed_claim_fails_all_waiters_and_binds_nothing() -> None:
    shared = FakeSharedTurns()
    shared.failure = StoreUnavailable("down")
    turns = turn_registry(shared=shared)
    results = await asyncio.gather(*(claimed(turns, running_turn()) for _ in range(2)), return_exceptions=True)

    assert [type(result) for result in results] == [StoreUnavailable, StoreUnavailable]
    assert (len(turns), turns.claims) == (0, 0)
    shared.failure = None
    assert await claimed(turns, running_turn()) is None


async def test_cancelling_during_the_claim_frees_the_key_in_all_processes() -> None:
    shared = FakeSharedTurns()
    shared.may_claim.clear()
    turns = turn_registry(shared=shared)
    turn = running_turn()
    claiming = asyncio.ensure_future(claimed(turns, turn))
    await shared.claiming.wait()
    claiming.cancel()
    await settle()
    finish(turns, turn, BROKEN)
    assert shared.published == []
    shared.may_claim.set()
    await settle()

    assert shared.published == [turn], "the store releases the claim at the end of the turn"
    assert (len(turns), turns.claims) == (0, 0)
