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
from tokenfall.messages import ChatRequest, Message
from tokenfall.ports import Engine
from tokenfall.request_memory import RequestMemory
from tokenfall.turns import runner as answering_module
from tokenfall.turns import turn as turn_module
from tokenfall.turns.response_buffer import INDEXED
from tokenfall.turns.runner import TurnRun, TurnRunner, rate, turn_end
from tokenfall.turns.turn import FollowedLocally

from tests.doubles.connections import settle
from tests.doubles.engines import Silence, text_engine
from tests.doubles.memory import ample_request_memory
from tests.doubles.stores import SlowHistory
from tests.doubles.turns import HERE, ManualEngine, RecordingListener, detached_turns, running_turn, turn_registry

REQUEST = ChatRequest(messages=(Message("system", "Be brief."), Message("user", "Why?")), model="model-0", max_tokens=9)


class Harness:
    """A `TurnRunner` on a history whose writes end when the test says so."""

    def __init__(self, *, may_write: bool = True, memory_bytes: int = 2**30) -> None:
        self.history = SlowHistory()
        self.registry = turn_registry()
        self.detached = detached_turns()
        self.memory = RequestMemory(memory_bytes)
        self.runner = TurnRunner(self.history, registry=self.registry, detached=self.detached, memory=self.memory)
        if may_write:
            self.history.may_end.set()


class Asked:
    """A turn that is answered by `engine`, its client and a follower."""

    def __init__(self, engine: Engine, harness: Harness | None = None, *, finishes: bool = False) -> None:
        self.harness = harness or Harness()
        self.turn = running_turn(finishes=finishes)
        self.harness.registry.add(self.turn)
        self.answering = TurnRun(self.turn, REQUEST, engine=engine, runner=self.harness.runner)
        self.client, self.follower = RecordingListener(), RecordingListener()
        self.asking = asyncio.create_task(self.answering.run(self.client.on_event))

    async def followed(self) -> "asyncio.Task[Finished]":
        following = asyncio.create_task(FollowedLocally(self.turn, after=0).run(self.follower.on_event))
        await settle()
        return following

    def is_over(self) -> bool:
        """Whether the runner has let go of the turn, with its end."""
        return self.turn.end is not None and not self.harness.registry.running() and not len(self.harness.detached)

    @property
    def kept(self) -> list[tuple[str, str]]:
        return [(turn.answer.content, turn.status) for turn in self.harness.history.appended]


@pytest.mark.parametrize(
    ("end", "code"),
    [(UpstreamBroken("cut"), "upstream_broken"), (Finished("length", "m"), ""), (OSError(), "internal_error")],
)
async def test_interrupted_turn_is_stored_with_its_error(end: Finished | Exception, code: str) -> None:
    asked = Asked(text_engine("Be", end=end))
    await asyncio.gather(asked.asking, return_exceptions=True)

    assert [turn.end_code for turn in asked.harness.history.appended] == [code]


async def test_stopped_turn_is_stored_as_stopped() -> None:
    asked = Asked(text_engine("Be", end=Silence()))
    await settle()
    asked.turn.stop()
    await asyncio.gather(asked.asking, return_exceptions=True)

    assert [turn.end_code for turn in asked.harness.history.appended] == ["stopped"]


# A turn that ends as it should


async def test_deltas_are_reported_to_the_client_and_the_end_is_returned() -> None:
    asked = Asked(text_engine("Be", "cause"))

    assert await asked.asking == Finished("stop", "model-1")
    assert asked.client.texts == ["Be", "cause"]
    assert asked.is_over()
    assert asked.turn.end == TurnEnd(Finished("stop", "model-1"))


async def test_turn_is_stored_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1000.0, 1007.5])
    monkeypatch.setattr(answering_module, "time", lambda: next(times))
    asked_s, first_s, last_s = 5.0, 5.25, 5.75
    monkeypatch.setattr(answering_module, "perf_counter", iter([asked_s, last_s]).__next__)
    monkeypatch.setattr(turn_module, "perf_counter", iter([first_s]).__next__)
    asked = Asked(text_engine("Be", "cause", end=Finished("length", "model-9", Usage(3, 2))))
    await asked.asking

    assert await asked.harness.history.turns(HERE) == [
        Turn(
            id=asked.turn.id,
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
    asked = Asked(text_engine("Hi", end=Finished("stop", "")))
    await asked.asking

    assert [turn.model for turn in asked.harness.history.appended] == ["model-0"]


async def test_complete_empty_response_is_stored() -> None:
    asked = Asked(text_engine())
    await asked.asking

    assert asked.kept == [("", "complete")]


async def test_long_response_is_stored_in_order() -> None:
    texts = [f"{number} " for number in range(3 * INDEXED + 1)]
    asked = Asked(text_engine(*texts))
    await asked.asking

    assert asked.kept == [("".join(texts), "complete")]


async def test_engine_waits_for_a_slow_client_but_not_for_a_follower() -> None:
    asked = Asked(text_engine("a", "b"))
    asked.client.block()
    following = await asked.followed()
    assert (asked.client.text, asked.follower.text) == ("a", "a")
    asked.client.unblock()
    await asyncio.gather(asked.asking, following)

    assert (asked.client.text, asked.follower.text) == ("ab", "ab")


# Kept, and only then told


async def test_turn_is_stored_before_its_end_is_reported() -> None:
    asked = Asked(text_engine("Hi"), Harness(may_write=False))
    following = await asked.followed()
    assert asked.follower.texts == ["Hi"]
    assert (asked.asking.done(), following.done(), asked.turn.end) == (False, False, None)
    asked.harness.history.may_end.set()

    assert await asked.asking == await following == Finished("stop", "model-1")


@pytest.mark.parametrize(
    ("failure", "code"), [(StoreUnavailable("down"), "store_unavailable"), (OSError("s3cret"), "internal_error")]
)
async def test_turn_that_could_not_be_stored_ends_with_an_error(failure: Exception, code: str) -> None:
    asked = Asked(text_engine("Hi"))
    asked.harness.history.failure = failure
    following = await asked.followed()
    with pytest.raises(type(failure)):
        await asked.asking
    with pytest.raises(TokenfallError) as caught:
        await following

    assert caught.value.code == code
    assert "s3cret" not in caught.value.message
    assert asked.is_over()


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelling_during_the_write_does_not_change_the_turn(times: int) -> None:
    asked = Asked(text_engine("Hi"), Harness(may_write=False))
    following = await asked.followed()
    assert not asked.answering.detach()
    for _ in range(times):
        asked.asking.cancel()
        await settle()
    assert asked.asking.cancelled()
    assert (following.done(), asked.is_over()) == (False, False)
    asked.harness.history.may_end.set()

    assert await following == Finished("stop", "model-1")
    assert asked.kept == [("Hi", "complete")]


async def test_turn_whose_write_is_cancelled_ends_with_an_error() -> None:
    asked = Asked(text_engine("Hi"), Harness(may_write=False))
    following = await asked.followed()
    (writing,) = (task for task in asyncio.all_tasks() if "append" in repr(task))
    writing.cancel()
    with pytest.raises(ShuttingDown):
        await following
    with pytest.raises(asyncio.CancelledError):
        await asked.asking


# A turn that does not end as it should


async def test_text_before_a_failure_is_stored_as_interrupted() -> None:
    asked = Asked(text_engine("Be", "ca", end=UpstreamBroken("broke off")))
    following = await asked.followed()
    with pytest.raises(UpstreamBroken):
        await asked.asking
    with pytest.raises(UpstreamBroken, match="broke off"):
        await following
    (turn,) = asked.harness.history.appended

    assert (turn.answer.content, turn.status, turn.model) == ("Beca", "interrupted", "model-0")
    assert (turn.finish_reason, turn.usage) == (None, None)


@pytest.mark.parametrize("pieces", [1, INDEXED - 1, INDEXED, INDEXED + 1, 2 * INDEXED])
async def test_text_of_any_length_is_stored_after_a_failure(pieces: int) -> None:
    texts = [f"{number} " for number in range(pieces)]
    asked = Asked(text_engine(*texts, end=UpstreamBroken("broke off")))
    with pytest.raises(UpstreamBroken):
        await asked.asking

    assert asked.kept == [("".join(texts), "interrupted")]


@pytest.mark.parametrize("end", [UpstreamBroken("broke off"), ZeroDivisionError()])
async def test_failed_turn_without_text_is_not_stored(end: Exception) -> None:
    asked = Asked(text_engine(end=end))
    with pytest.raises(type(end)):
        await asked.asking

    assert asked.kept == []
    assert asked.is_over()


async def test_turn_whose_write_raises_is_ended_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(TurnRunner, "write", broken)
    asked = Asked(text_engine("Hi"))
    following = await asked.followed()
    with pytest.raises(ZeroDivisionError):
        await asked.asking
    with pytest.raises(TokenfallError, match="the response failed"):
        await following

    assert asked.is_over()


async def test_unexpected_error_is_not_shown_to_followers() -> None:
    asked = Asked(text_engine("Be", end=ZeroDivisionError("s3cret")))
    following = await asked.followed()
    with pytest.raises(ZeroDivisionError):
        await asked.asking
    with pytest.raises(TokenfallError) as caught:
        await following

    assert (caught.value.code, caught.value.message) == ("internal_error", "the response failed")


@pytest.mark.parametrize(("draining", "error"), [(False, TurnInterrupted), (True, ShuttingDown)])
async def test_disconnect_cancels_the_engine_and_stores_the_text(draining: bool, error: type[TokenfallError]) -> None:
    engine = text_engine("Be", "ca", end=Silence())
    asked = Asked(engine)
    await engine.silent.wait()
    following = await asked.followed()
    asked.harness.runner.draining = draining
    asked.asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked.asking
    with pytest.raises(error):
        await following

    assert asked.kept == [("Beca", "interrupted")]
    assert engine.ended == 1


async def test_stopped_turn_is_reported_to_all_and_stored() -> None:
    engine = text_engine("Be", "ca", end=Silence())
    asked = Asked(engine)
    following = await asked.followed()
    asked.turn.stop()
    for hearing in (asked.asking, following):
        with pytest.raises(TurnStopped):
            await hearing

    assert asked.kept == [("Beca", "interrupted")]
    assert engine.ended == 1


async def test_turn_stopped_before_its_start_does_not_call_the_engine() -> None:
    engine = text_engine("Hi")
    asked = Asked(engine)
    asked.turn.stop()
    with pytest.raises(TurnStopped):
        await asked.asking

    assert engine.requests == []
    assert asked.kept == []
    assert asked.is_over()


async def test_stop_during_the_write_has_no_effect() -> None:
    asked = Asked(text_engine("Hi"), Harness(may_write=False))
    await asked.harness.history.writing.wait()
    asked.turn.stop()
    await settle()
    asked.harness.history.may_end.set()

    assert await asked.asking == Finished("stop", "model-1")
    assert asked.kept == [("Hi", "complete")]


async def test_simultaneous_stop_and_disconnect_end_the_turn_once() -> None:
    engine = text_engine("Hi", end=Silence())
    asked = Asked(engine)
    await engine.silent.wait()
    asked.turn.stop()
    asked.asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked.asking

    assert asked.kept == [("Hi", "interrupted")]
    assert asked.is_over()


# Left


async def test_detached_turn_finishes_without_its_client() -> None:
    engine = ManualEngine()
    asked = Asked(engine, finishes=True)
    engine.emit("a")
    await settle()
    assert asked.answering.detach()
    assert len(asked.harness.detached) == 1
    engine.emit("b")
    engine.finish()

    assert await asked.asking == Finished("stop", "model-1")
    assert asked.kept == [("ab", "complete")]


def stored(answer: str, *, thought: str = "") -> Turn:
    """A turn with the question of `REQUEST`."""
    return Turn(
        id="t1",
        question=REQUEST.messages[-1],
        answer=Message("assistant", answer, thought=thought),
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
    asked = Asked(text_engine("", "a"))
    await asked.asking

    assert asked.client.texts == ["", "a"]
    assert asked.turn.since(0) == ["", "a"]


def test_turn_end_of_an_error_has_its_code_and_message() -> None:
    assert (turn_end(StoreUnavailable("down")).code, turn_end(StoreUnavailable("down")).message) == (
        "store_unavailable",
        "down",
    )
    assert turn_end(OSError("s3cret")).message == "the response failed"


# How fast it came


@pytest.mark.parametrize(
    ("tokens", "took_s", "expected"), [(0, 1.0, None), (1, 1.0, None), (9, 0.0, None), (9, 2.0, 4.0)]
)
def test_rate_covers_the_tokens_after_the_first(tokens: int, took_s: float, expected: float | None) -> None:
    assert rate(tokens, took_s) == expected


async def test_turn_without_text_has_no_times() -> None:
    asked = Asked(text_engine())
    await asked.asking

    assert [(turn.ttft_s, turn.tokens_per_s) for turn in asked.harness.history.appended] == [(None, None)]


async def test_texts_of_a_turn_are_counted_until_it_has_ended() -> None:
    harness = Harness(memory_bytes=1_000)
    engine = ManualEngine()
    run = TurnRun(running_turn(), REQUEST, engine=engine, runner=harness.runner)
    large = replace(REQUEST, messages=(Message("user", "x" * 500),))
    with pytest.raises(RequestMemoryFull):
        TurnRun(running_turn(), large, engine=engine, runner=harness.runner)
    held_bytes = harness.memory.shares.held_bytes
    engine.emit("Because.")
    engine.finish()
    await run.run(RecordingListener().on_event)

    assert 0 < held_bytes < 100
    assert harness.memory.shares.held_bytes == 0
