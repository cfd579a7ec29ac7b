import asyncio
import tracemalloc
from collections.abc import Awaitable
from itertools import pairwise

import pytest

from tokenfall.conversations import TurnEnd
from tokenfall.errors import (
    ShuttingDown,
    TurnInterrupted,
    shutting_down,
)
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.slicing.computation import LOOP_TURN
from tokenfall.turns.turn import MAX_THOUGHT_CHARACTERS, MAX_THOUGHTS, WOKEN_AT_ONCE, FollowedLocally, RunningTurn

from tests.doubles.connections import settle
from tests.doubles.turns import HERE, RecordingListener, running_turn

END = TurnEnd(Finished("stop", "m"))


class RunningTask:
    """A task that runs a turn and ends only when cancelled."""

    def __init__(self, turn: RunningTurn) -> None:
        self.turn = turn
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        self.turn.begin()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            error = self.turn.cancelled()
            if error is None:
                raise
            raise error from None


async def start(turn: RunningTurn) -> RunningTask:
    running = RunningTask(turn)
    await settle()
    return running


def turn(*, finishes: bool = False) -> RunningTurn:
    return running_turn(finishes=finishes)


def follow(turn: RunningTurn, listener: RecordingListener, *, after: int = 0) -> "asyncio.Task[Finished]":
    return asyncio.create_task(FollowedLocally(turn, after=after).run(listener.on_event))


async def stop_following(following: "asyncio.Task[Finished]") -> None:
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


# Turn ids


def test_turn_ids_are_unique() -> None:
    ids = {turn().id for _ in range(100)}

    assert len(ids) == 100
    assert all(len(each) == 29 and each.startswith("turn_") for each in ids)


# Stop


async def test_later_stop_does_not_change_the_reason() -> None:
    running = await start(turn())
    running.turn.stop_with(shutting_down())
    running.turn.stop()
    with pytest.raises(ShuttingDown):
        await running.task


# Disconnect


@pytest.mark.parametrize(("finishes", "continues"), [(True, True), (False, False)])
async def test_disconnect_cancels_or_detaches_as_configured(finishes: bool, continues: bool) -> None:
    running = await start(turn(finishes=finishes))
    assert running.turn.detach() is continues
    detached = [running.turn.detached]
    running.turn.finish(END)
    detached.append(running.turn.detached)
    assert detached == [True, False]
    running.task.cancel()


async def test_turn_without_a_client_ends_when_its_last_follower_leaves() -> None:
    running = await start(turn())
    first, second = follow(running.turn, RecordingListener()), follow(running.turn, RecordingListener())
    await settle()
    assert running.turn.detach() is True
    await stop_following(first)
    await settle()
    assert not running.task.done()
    await stop_following(second)
    with pytest.raises(TurnInterrupted):
        await running.task


@pytest.mark.parametrize("detaches", [False, True])
async def test_last_follower_does_not_end_a_turn_with_a_client_or_one_that_finishes(detaches: bool) -> None:
    running = await start(turn(finishes=detaches))
    follower = follow(running.turn, RecordingListener())
    await settle()
    if detaches:
        assert running.turn.detach()
    await stop_following(follower)
    await settle()
    assert not running.task.done()
    assert running.turn.detach() is detaches, "a follower that left does not count"
    running.task.cancel()


# Followers


async def test_follower_gets_past_and_new_deltas_and_the_end() -> None:
    followed_turn, listener = running_turn("a", "b"), RecordingListener()
    following = follow(followed_turn, listener)
    await settle()
    assert listener.texts == ["a", "b"]
    followed_turn.add("c")
    followed_turn.add("d")
    await settle()
    assert listener.texts == ["a", "b", "c", "d"]
    followed_turn.finish(END)

    assert await following == END.finished


@pytest.mark.parametrize("after", range(4))
async def test_late_follower_gets_the_rest(after: int) -> None:
    followed_turn, listener = running_turn("a", "b", "c"), RecordingListener()
    followed_turn.finish(END)

    assert await follow(followed_turn, listener, after=after) == END.finished
    assert listener.texts == ["a", "b", "c"][after:]


async def test_slow_follower_gets_every_delta() -> None:
    followed_turn, slow, quick = running_turn("a"), RecordingListener(), RecordingListener()
    slow.block()
    followings = [follow(followed_turn, slow), follow(followed_turn, quick)]
    await settle()
    for text in "bcd":
        followed_turn.add(text)
    followed_turn.finish(END)
    await settle()
    assert (slow.text, quick.text) == ("a", "abcd")
    assert [each.done() for each in followings] == [False, True]
    slow.unblock()
    await asyncio.gather(*followings)

    assert slow.text == "abcd"


async def test_delta_added_during_the_last_delivery_is_delivered() -> None:
    followed_turn = running_turn("a")
    texts: list[str] = []

    def on_event(delta: TextDelta | ReasoningDelta) -> Awaitable[None] | None:
        texts.append(delta.text)
        if delta.text == "a":
            followed_turn.add("b")
            followed_turn.finish(END)
        return None

    await FollowedLocally(followed_turn, after=0).run(on_event)

    assert texts == ["a", "b"]


async def test_cancelled_follower_does_not_affect_others() -> None:
    followed_turn, listener = running_turn(finishes=True), RecordingListener()
    leaving, stays = follow(followed_turn, RecordingListener()), follow(followed_turn, listener)
    await settle()
    await stop_following(leaving)
    followed_turn.add("a")
    followed_turn.finish(END)

    assert await stays == END.finished
    assert listener.texts == ["a"]


async def test_slow_follower_of_a_long_turn_uses_little_memory() -> None:
    turn = RunningTurn(HERE, on_disconnect="finish")
    for number in range(100_000):
        turn.add(f"{number} ")
    turn.finish(END)
    never = asyncio.get_running_loop().create_future()
    tracemalloc.start()
    try:
        running = asyncio.ensure_future(FollowedLocally(turn, after=0).run(lambda _: never))
        await settle()
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    running.cancel()
    await asyncio.wait([running])

    assert held_bytes < 65_536


# Reasoning


async def test_follower_gets_all_reasoning_and_then_the_text() -> None:
    turn = running_turn()
    turn.add_thought("Hm,")
    deltas: list[TextDelta | ReasoningDelta] = []

    def on_event(piece: TextDelta | ReasoningDelta) -> Awaitable[None] | None:
        deltas.append(piece)
        return None

    following = asyncio.create_task(FollowedLocally(turn, after=0).run(on_event))
    await settle()
    turn.add_thought(" so")
    await settle()
    turn.add("Hi")
    turn.finish(TurnEnd(Finished("stop", "m")))

    await following
    assert deltas == [ReasoningDelta("Hm,"), ReasoningDelta(" so"), TextDelta("Hi")]


def test_reasoning_is_limited_in_characters_and_chunks() -> None:
    turn = running_turn()
    turn.add_thought("x" * (MAX_THOUGHT_CHARACTERS + 1))
    for _ in range(MAX_THOUGHTS):
        turn.add_thought("y")

    assert turn.thought == "x" * MAX_THOUGHT_CHARACTERS
    assert len(turn.thoughts_since(0)) == MAX_THOUGHTS


def test_turn_without_reasoning_has_no_reasoning_time() -> None:
    assert running_turn("Hi").thought_s is None


async def test_many_followers_continue_a_few_in_each_turn_of_the_loop() -> None:
    running = turn()
    listeners = [RecordingListener() for _ in range(3 * WOKEN_AT_ONCE)]
    following = [follow(running, listener) for listener in listeners]
    await settle()
    running.add("a")
    woken: list[int] = []
    while not woken or woken[-1] < len(listeners):
        await LOOP_TURN
        woken.append(sum(bool(listener.texts) for listener in listeners))
        if woken == [WOKEN_AT_ONCE]:
            running.add("b")

    assert all(later - before <= WOKEN_AT_ONCE for before, later in pairwise([0, *woken]))
    running.finish(END)
    await asyncio.gather(*following)
    assert {"".join(listener.texts) for listener in listeners} == {"ab"}


async def test_cancelled_followers_of_a_silent_turn_take_no_memory() -> None:
    running = turn(finishes=True)

    async def follow_and_leave(times: int) -> None:
        for _ in range(times):
            following = follow(running, RecordingListener())
            await settle()
            await stop_following(following)

    await follow_and_leave(10)
    tracemalloc.start()
    await follow_and_leave(10)
    before, _ = tracemalloc.get_traced_memory()
    await follow_and_leave(200)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert after - before < 200 * 50
