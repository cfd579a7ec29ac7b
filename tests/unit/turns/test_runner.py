import asyncio

import pytest
from msgspec.structs import replace

from tokenfall.conversations import Turn, TurnEnd
from tokenfall.errors import (
    DetachedLimit,
    RequestMemoryFull,
    ShuttingDown,
    StoreUnavailable,
    TokenfallError,
    TurnInterrupted,
    TurnStopped,
    UpstreamBroken,
)
from tokenfall.events import Finished, Usage
from tokenfall.memory.leases import RequestMemory
from tokenfall.messages import ChatRequest, Message
from tokenfall.metrics.registry import Metrics
from tokenfall.ports import Engine
from tokenfall.turns import run as run_module
from tokenfall.turns import turn as turn_module
from tokenfall.turns.run import TurnRun, rate
from tokenfall.turns.runner import TurnRunner
from tokenfall.turns.turn import FollowedLocally

from tests.doubles.connections import settle
from tests.doubles.engines import Silence, text_engine
from tests.doubles.memory import ample_request_memory
from tests.doubles.stores import SlowHistory
from tests.doubles.turns import HERE, ManualEngine, RecordingListener, detached_turns, running_turn, turn_registry

REQUEST = ChatRequest(messages=(Message("system", "Be brief."), Message("user", "Why?")), model="model-0", max_tokens=9)


class Harness:
    """A `TurnRunner` on a history whose writes complete when the test allows it."""

    def __init__(self, *, may_write: bool = True, memory_bytes: int = 2**30) -> None:
        self.history = SlowHistory()
        self.registry = turn_registry()
        self.detached = detached_turns()
        self.memory = RequestMemory(memory_bytes, Metrics())
        self.runner = TurnRunner(self.history, registry=self.registry, detached=self.detached, memory=self.memory)
        if may_write:
            self.history.may_end.set()


class RunSetup:
    """A turn run by `engine`, with a client and a follower."""

    def __init__(self, engine: Engine, harness: Harness | None = None, *, finishes: bool = False) -> None:
        self.harness = harness or Harness()
        self.turn = running_turn(finishes=finishes)
        self.harness.registry.add(self.turn)
        self.run = TurnRun(self.turn, REQUEST, engine=engine, runner=self.harness.runner)
        self.client, self.follower = RecordingListener(), RecordingListener()
        self.running = asyncio.create_task(self.run.run(self.client.on_event))

    async def follow(self) -> "asyncio.Task[Finished]":
        following = asyncio.create_task(FollowedLocally(self.turn, after=0).run(self.follower.on_event))
        await settle()
        return following

    def is_released(self) -> bool:
        """Whether the turn has ended and the runner has released it."""
        return self.turn.end is not None and not self.harness.registry.running() and not len(self.harness.detached)

    @property
    def stored(self) -> list[tuple[str, str]]:
        return [(turn.answer.content, turn.status) for turn in self.harness.history.appended]


@pytest.mark.parametrize(
    ("end", "code"),
    [(UpstreamBroken("cut"), "upstream_broken"), (Finished("length", "m"), ""), (OSError(), "internal_error")],
)
async def test_interrupted_turn_is_stored_with_its_error(end: Finished | Exception, code: str) -> None:
    setup = RunSetup(text_engine("Be", end=end))
    await asyncio.gather(setup.running, return_exceptions=True)

    assert [turn.end_code for turn in setup.harness.history.appended] == [code]


# Genuine ends


async def test_deltas_are_reported_to_the_client_and_the_end_is_returned() -> None:
    setup = RunSetup(text_engine("Be", "cause"))

    assert await setup.running == Finished("stop", "model-1")
    assert setup.client.texts == ["Be", "cause"]
    assert setup.is_released()
    assert setup.turn.end == TurnEnd(Finished("stop", "model-1"))


async def test_turn_is_stored_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1000.0, 1007.5])
    monkeypatch.setattr(run_module, "time", lambda: next(times))
    started_s, first_s, last_s = 5.0, 5.25, 5.75
    monkeypatch.setattr(run_module, "perf_counter", iter([started_s, last_s]).__next__)
    monkeypatch.setattr(turn_module, "perf_counter", iter([first_s]).__next__)
    setup = RunSetup(text_engine("Be", "cause", end=Finished("length", "model-9", Usage(3, 2))))
    await setup.running

    assert await setup.harness.history.turns(HERE) == [
        Turn(
            id=setup.turn.id,
            question=Message("user", "Why?"),
            answer=Message("assistant", "Because"),
            status="complete",
            model="model-9",
            asked_at=1000.0,
            answered_at=1007.5,
            finish_reason="length",
            usage=Usage(3, 2),
            ttft_s=0.25,
            tokens_per_s=2.0,
        )
    ]


async def test_missing_model_name_is_the_requested_one() -> None:
    setup = RunSetup(text_engine("Hi", end=Finished("stop", "")))
    await setup.running

    assert [turn.model for turn in setup.harness.history.appended] == ["model-0"]


async def test_complete_empty_response_is_stored_without_times() -> None:
    setup = RunSetup(text_engine())
    await setup.running
    (turn,) = setup.harness.history.appended

    assert (turn.answer.content, turn.status) == ("", "complete")
    assert (turn.ttft_s, turn.tokens_per_s) == (None, None)


async def test_engine_waits_for_a_slow_client_but_not_for_a_follower() -> None:
    setup = RunSetup(text_engine("a", "b"))
    setup.client.block()
    following = await setup.follow()
    assert (setup.client.text, setup.follower.text) == ("a", "a")
    setup.client.unblock()
    await asyncio.gather(setup.running, following)

    assert (setup.client.text, setup.follower.text) == ("ab", "ab")


# Store before report


async def test_turn_is_stored_before_its_end_is_reported() -> None:
    setup = RunSetup(text_engine("Hi"), Harness(may_write=False))
    following = await setup.follow()
    assert setup.follower.texts == ["Hi"]
    assert (setup.running.done(), following.done(), setup.turn.end) == (False, False, None)
    setup.harness.history.may_end.set()

    assert await setup.running == await following == Finished("stop", "model-1")


@pytest.mark.parametrize(
    ("failure", "code"), [(StoreUnavailable("down"), "store_unavailable"), (OSError("s3cret"), "internal_error")]
)
async def test_turn_that_could_not_be_stored_ends_with_an_error(failure: Exception, code: str) -> None:
    setup = RunSetup(text_engine("Hi"))
    setup.harness.history.failure = failure
    following = await setup.follow()
    with pytest.raises(type(failure)):
        await setup.running
    with pytest.raises(TokenfallError) as caught:
        await following

    assert caught.value.code == code
    assert "s3cret" not in caught.value.message
    assert setup.is_released()


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelling_during_the_write_does_not_change_the_turn(times: int) -> None:
    setup = RunSetup(text_engine("Hi"), Harness(may_write=False))
    following = await setup.follow()
    assert not setup.run.detach()
    for _ in range(times):
        setup.running.cancel()
        await settle()
    assert setup.running.cancelled()
    assert (following.done(), setup.is_released()) == (False, False)
    setup.harness.history.may_end.set()

    assert await following == Finished("stop", "model-1")
    assert setup.stored == [("Hi", "complete")]


async def test_turn_whose_write_is_cancelled_ends_with_an_error() -> None:
    setup = RunSetup(text_engine("Hi"), Harness(may_write=False))
    following = await setup.follow()
    (writing,) = (task for task in asyncio.all_tasks() if "append" in repr(task))
    writing.cancel()
    with pytest.raises(ShuttingDown):
        await following
    with pytest.raises(asyncio.CancelledError):
        await setup.running


# Interruptions


async def test_text_before_a_failure_is_stored_as_interrupted() -> None:
    setup = RunSetup(text_engine("Be", "ca", end=UpstreamBroken("broke off")))
    following = await setup.follow()
    with pytest.raises(UpstreamBroken):
        await setup.running
    with pytest.raises(UpstreamBroken, match="broke off"):
        await following
    (turn,) = setup.harness.history.appended

    assert (turn.answer.content, turn.status, turn.model) == ("Beca", "interrupted", "model-0")
    assert (turn.finish_reason, turn.usage) == (None, None)


@pytest.mark.parametrize("end", [UpstreamBroken("broke off"), ZeroDivisionError()])
async def test_failed_turn_without_text_is_not_stored(end: Exception) -> None:
    setup = RunSetup(text_engine(end=end))
    with pytest.raises(type(end)):
        await setup.running

    assert setup.stored == []
    assert setup.is_released()


async def test_turn_whose_write_raises_is_ended_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(TurnRunner, "write", broken)
    setup = RunSetup(text_engine("Hi"))
    following = await setup.follow()
    with pytest.raises(ZeroDivisionError):
        await setup.running
    with pytest.raises(TokenfallError, match="the response failed"):
        await following

    assert setup.is_released()


async def test_unexpected_error_is_not_shown_to_followers() -> None:
    setup = RunSetup(text_engine("Be", end=ZeroDivisionError("s3cret")))
    following = await setup.follow()
    with pytest.raises(ZeroDivisionError):
        await setup.running
    with pytest.raises(TokenfallError) as caught:
        await following

    assert (caught.value.code, caught.value.message) == ("internal_error", "the response failed")


@pytest.mark.parametrize(("draining", "error"), [(False, TurnInterrupted), (True, ShuttingDown)])
async def test_disconnect_cancels_the_engine_and_stores_the_text(draining: bool, error: type[TokenfallError]) -> None:
    engine = text_engine("Be", "ca", end=Silence())
    setup = RunSetup(engine)
    await engine.silent.wait()
    following = await setup.follow()
    setup.harness.runner.draining = draining
    setup.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await setup.running
    with pytest.raises(error):
        await following

    assert setup.stored == [("Beca", "interrupted")]
    assert engine.ended == 1


async def test_stopped_turn_is_reported_to_all_and_stored() -> None:
    engine = text_engine("Be", "ca", end=Silence())
    setup = RunSetup(engine)
    following = await setup.follow()
    setup.turn.stop()
    for hearing in (setup.running, following):
        with pytest.raises(TurnStopped):
            await hearing

    assert setup.stored == [("Beca", "interrupted")]
    assert [turn.end_code for turn in setup.harness.history.appended] == ["stopped"]
    assert engine.ended == 1


async def test_turn_stopped_before_its_start_does_not_call_the_engine() -> None:
    engine = text_engine("Hi")
    setup = RunSetup(engine)
    setup.turn.stop()
    with pytest.raises(TurnStopped):
        await setup.running

    assert engine.requests == []
    assert setup.stored == []
    assert setup.is_released()


async def test_stop_during_the_write_has_no_effect() -> None:
    setup = RunSetup(text_engine("Hi"), Harness(may_write=False))
    await setup.harness.history.writing.wait()
    setup.turn.stop()
    await settle()
    setup.harness.history.may_end.set()

    assert await setup.running == Finished("stop", "model-1")
    assert setup.stored == [("Hi", "complete")]


async def test_simultaneous_stop_and_disconnect_end_the_turn_once() -> None:
    engine = text_engine("Hi", end=Silence())
    setup = RunSetup(engine)
    await engine.silent.wait()
    setup.turn.stop()
    setup.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await setup.running

    assert setup.stored == [("Hi", "interrupted")]
    assert setup.is_released()


# Detached turns


async def test_detached_turn_finishes_without_its_client() -> None:
    engine = ManualEngine()
    setup = RunSetup(engine, finishes=True)
    engine.emit("a")
    await settle()
    assert setup.run.detach()
    assert len(setup.harness.detached) == 1
    engine.emit("b")
    engine.finish()

    assert await setup.running == Finished("stop", "model-1")
    assert setup.stored == [("ab", "complete")]


def stored(text: str, *, thought: str = "") -> Turn:
    """A stored turn with the question of `REQUEST`."""
    return Turn(
        id="t1",
        question=REQUEST.messages[-1],
        answer=Message("assistant", text, thought=thought),
        status="interrupted",
        model="model-0",
        asked_at=1.0,
        answered_at=2.0,
    )


@pytest.mark.parametrize(
    "earlier",
    [
        {"replaces": stored("x" * 60_000)},
        {"continued": stored("x" * 60_000)},
        {"continued": stored("x", thought="x" * 60_000)},
    ],
)
async def test_variants_of_detached_turns_count_as_memory(earlier: dict[str, Turn]) -> None:
    detached = detached_turns(max_bytes=100_000)
    runner = TurnRunner(SlowHistory(), registry=turn_registry(), detached=detached, memory=ample_request_memory())
    turns = [running_turn(finishes=True) for _ in range(2)]
    runs = [TurnRun(turn, REQUEST, engine=ManualEngine(), runner=runner, **earlier) for turn in turns]
    asking = [asyncio.create_task(run.run(RecordingListener().on_event)) for run in runs]
    await settle()
    assert [run.detach() for run in runs] == [True, True]
    with pytest.raises(DetachedLimit, match="too much memory"):
        await asking[0]

    assert len(detached) == 1
    asking[1].cancel()
    await asyncio.wait([asking[1]])
    detached.close()


async def test_empty_deltas_are_sent_to_followers() -> None:
    setup = RunSetup(text_engine("", "a"))
    await setup.running

    assert setup.client.texts == ["", "a"]
    assert setup.turn.since(0) == ["", "a"]


# Token rate


@pytest.mark.parametrize(
    ("tokens", "took_s", "expected"), [(0, 1.0, None), (1, 1.0, None), (9, 0.0, None), (9, 2.0, 4.0)]
)
def test_rate_covers_the_tokens_after_the_first(tokens: int, took_s: float, expected: float | None) -> None:
    assert rate(tokens, took_s) == expected


async def test_texts_of_a_turn_are_counted_until_it_has_ended() -> None:
    harness = Harness(memory_bytes=1_000)
    engine = ManualEngine()
    first, second = (replace(REQUEST, messages=(Message("user", "x" * size),)) for size in (32_800, 33_200))
    run = TurnRun(running_turn(), first, engine=engine, runner=harness.runner)
    held_bytes = harness.memory.shares.held_bytes
    with pytest.raises(RequestMemoryFull):
        TurnRun(running_turn(), second, engine=engine, runner=harness.runner)
    engine.emit("Because.")
    engine.finish()
    await run.run(RecordingListener().on_event)

    assert 0 < held_bytes < 100
    assert harness.memory.shares.held_bytes == 0
