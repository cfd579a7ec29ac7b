import asyncio
from collections.abc import Awaitable, Sequence

import pytest

from tokenfall.chat import service
from tokenfall.chat.service import JOIN_AT, Chat, Defaults, Question
from tokenfall.errors import NotFound, UpstreamBroken
from tokenfall.events import Delta, Finished, Usage
from tokenfall.history.memory import MemoryHistory
from tokenfall.messages import Message
from tokenfall.ports import Conversation, Engine, HistoryStore, Turn

from tests.doubles.engines import ScriptedEngine, Silence, told

HERE = Conversation("alice", "default")
DEFAULTS = Defaults(model="model-0", max_tokens=99, system=None, context_messages=4)


class SlowHistory(MemoryHistory):
    """A store whose writes end when the test says so, or fail."""

    def __init__(self) -> None:
        super().__init__(limit=100, max_bytes=1_000_000)
        self.writing = asyncio.Event()
        self.may_end = asyncio.Event()
        self.failure: Exception | None = None
        self.appended: list[Turn] = []

    async def append(self, conversation: Conversation, turn: Turn) -> None:
        self.appended.append(turn)
        self.writing.set()
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure
        await super().append(conversation, turn)


@pytest.fixture
def history() -> MemoryHistory:
    return MemoryHistory(limit=100, max_bytes=1_000_000)


def chat_on(engine: Engine, history: HistoryStore, *, defaults: Defaults = DEFAULTS) -> Chat:
    return Chat(engine, history, defaults=defaults)


def question(text: str = "Why?") -> Question:
    return Question(conversation=HERE, message=Message("user", text))


def deaf(delta: Delta) -> Awaitable[None] | None:
    return None


async def ask(engine: Engine, history: HistoryStore, text: str = "Why?") -> Finished:
    return await (await chat_on(engine, history).begin(question(text))).run(deaf)


async def kept(history: HistoryStore) -> Sequence[Turn]:
    return await history.turns(HERE) or ()


# A turn that ends as it should


async def test_the_deltas_are_handed_on_and_the_end_returned(history: MemoryHistory) -> None:
    heard: list[Delta] = []
    answering = await chat_on(told("Be", "cause"), history).begin(question())
    finished = await answering.run(heard.append)

    assert heard == [Delta("Be"), Delta("cause")]
    assert finished == Finished("stop", "model-1")


async def test_a_turn_is_kept_whole(history: MemoryHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1000.0, 1007.5])
    monkeypatch.setattr(service, "time", lambda: next(times))
    engine = told("Be", "cause", end=Finished("length", "model-9", Usage(3, 2)))
    answering = await chat_on(engine, history).begin(question())
    await answering.run(deaf)

    assert await kept(history) == [
        Turn(
            id=answering.id,
            question=Message("user", "Why?"),
            answer=Message("assistant", "Because"),
            status="complete",
            model="model-9",
            asked_at=1000.0,
            answered_at=1007.5,
            finish_reason="length",
            usage=Usage(3, 2),
        )
    ]


async def test_a_model_that_does_not_name_itself_is_the_one_that_was_asked(history: MemoryHistory) -> None:
    await ask(told("Hi", end=Finished("stop", "")), history)

    assert [turn.model for turn in await kept(history)] == ["model-0"]


async def test_an_empty_answer_that_is_whole_is_kept(history: MemoryHistory) -> None:
    await ask(told(), history)

    assert [(turn.answer.content, turn.status) for turn in await kept(history)] == [("", "complete")]


async def test_the_turn_is_kept_before_the_end_is_handed_on() -> None:
    slow = SlowHistory()
    asking = asyncio.create_task(ask(told("Hi"), slow))
    await slow.writing.wait()
    await asyncio.sleep(0)
    assert not asking.done()
    slow.may_end.set()
    await asking

    assert len(await kept(slow)) == 1


async def test_a_turn_that_cannot_be_kept_has_no_end() -> None:
    slow = SlowHistory()
    slow.failure = OSError("disk full")
    slow.may_end.set()
    with pytest.raises(OSError, match="disk full"):
        await ask(told("Hi"), slow)


async def test_a_long_answer_is_kept_in_its_order(history: MemoryHistory) -> None:
    texts = [f"{number} " for number in range(3 * JOIN_AT + 1)]
    await ask(told(*texts), history)

    assert (await kept(history))[0].answer.content == "".join(texts)


async def test_each_turn_has_an_id_of_its_own(history: MemoryHistory) -> None:
    for _ in range(3):
        await ask(told("Hi"), history)

    assert len({turn.id for turn in await kept(history)}) == 3


# A turn that does not


async def test_what_was_said_before_a_failure_is_kept_as_interrupted(history: MemoryHistory) -> None:
    with pytest.raises(UpstreamBroken):
        await ask(told("Be", "ca", end=UpstreamBroken("broke off")), history)
    (turn,) = await kept(history)

    assert (turn.answer.content, turn.status, turn.model) == ("Beca", "interrupted", "model-0")
    assert (turn.finish_reason, turn.usage) == (None, None)


@pytest.mark.parametrize("pieces", [1, JOIN_AT - 1, JOIN_AT, JOIN_AT + 1, 2 * JOIN_AT])
async def test_nothing_that_was_said_is_lost_however_much_it_was(history: MemoryHistory, pieces: int) -> None:
    texts = [f"{number} " for number in range(pieces)]
    with pytest.raises(UpstreamBroken):
        await ask(told(*texts, end=UpstreamBroken("broke off")), history)

    assert [turn.answer.content for turn in await kept(history)] == ["".join(texts)]


async def test_what_was_said_before_the_consumer_left_is_kept_as_interrupted(history: MemoryHistory) -> None:
    engine = told("Be", "ca", end=Silence())
    asking = asyncio.create_task(ask(engine, history))
    await engine.silent.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    (turn,) = await kept(history)

    assert (turn.answer.content, turn.status) == ("Beca", "interrupted")
    assert engine.ended == 1


@pytest.mark.parametrize("end", [UpstreamBroken("broke off"), ZeroDivisionError()])
async def test_a_turn_in_which_nothing_was_said_is_not_kept(history: MemoryHistory, end: Exception) -> None:
    with pytest.raises(type(end)):
        await ask(told(end=end), history)

    assert await history.turns(HERE) is None


async def test_who_leaves_before_anything_was_said_leaves_no_turn(history: MemoryHistory) -> None:
    engine = told(end=Silence())
    asking = asyncio.create_task(ask(engine, history))
    await engine.silent.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert await history.turns(HERE) is None
    assert engine.ended == 1


@pytest.mark.parametrize("times", [1, 2])
async def test_who_leaves_while_his_turn_is_written_has_it_written_once(times: int) -> None:
    slow = SlowHistory()
    chat = chat_on(told("Hi"), slow)
    asking = asyncio.create_task((await chat.begin(question())).run(deaf))
    await slow.writing.wait()
    for _ in range(times):
        asking.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await asking
    slow.may_end.set()
    await chat.settle()

    assert [turn.status for turn in slow.appended] == ["complete"]
    assert list(await kept(slow)) == slow.appended


async def test_settling_waits_for_every_writing_and_for_nothing_else() -> None:
    slow = SlowHistory()
    chat = chat_on(told("Hi"), slow)
    await chat.settle()
    asking = asyncio.create_task((await chat.begin(question())).run(deaf))
    await slow.writing.wait()
    settling = asyncio.create_task(chat.settle())
    await asyncio.sleep(0)
    assert not settling.done()
    slow.may_end.set()
    await settling

    await asking
    assert len(await kept(slow)) == 1


async def test_settling_does_not_repeat_failures() -> None:
    slow = SlowHistory()
    slow.failure = OSError("disk full")
    chat = chat_on(told("Hi"), slow)
    asking = asyncio.create_task((await chat.begin(question())).run(deaf))
    await slow.writing.wait()
    settling = asyncio.create_task(chat.settle())
    await asyncio.sleep(0)
    slow.may_end.set()
    await settling
    with pytest.raises(OSError, match="disk full"):
        await asking


# What the model sees


async def test_the_newest_turns_are_the_context(history: MemoryHistory) -> None:
    engine = told("So.")
    for number in range(4):
        await ask(engine, history, f"{number}?")

    assert [message.content for message in engine.requests[3].messages] == ["1?", "So.", "2?", "So.", "3?"]


async def test_the_callers_system_message_takes_the_place_of_the_default(history: MemoryHistory) -> None:
    engine = told("Hi")
    defaults = Defaults(model="m", max_tokens=1, system=Message("system", "default"), context_messages=4)
    chat = chat_on(engine, history, defaults=defaults)
    own = Question(conversation=HERE, message=Message("user", "Why?"), system=Message("system", "own"))
    for each in (own, question()):
        await (await chat.begin(each)).run(deaf)

    assert [asked.messages[0].content for asked in engine.requests] == ["own", "default"]
    assert all(turn.question.role == "user" for turn in await kept(history))


async def test_nothing_is_asked_of_the_engine_before_the_answer_is_run(history: MemoryHistory) -> None:
    engine = told("Hi")
    await chat_on(engine, history).begin(question())

    assert engine.requests == []


async def test_concurrent_turns_do_not_interleave(history: MemoryHistory) -> None:
    engines = [ScriptedEngine(Delta(name), Delta(name), Finished("stop", "m")) for name in "ab"]
    await asyncio.gather(*(ask(engine, history, name) for engine, name in zip(engines, "ab", strict=True)))

    assert sorted((turn.question.content, turn.answer.content) for turn in await kept(history)) == [
        ("a", "aa"),
        ("b", "bb"),
    ]


# The history


async def test_a_conversation_that_has_not_begun(history: MemoryHistory) -> None:
    chat = chat_on(told("Hi"), history)

    assert await chat.history(HERE, may_be_new=True) == ()
    await chat.clear(HERE, may_be_new=True)
    with pytest.raises(NotFound):
        await chat.history(HERE, may_be_new=False)
    with pytest.raises(NotFound):
        await chat.clear(HERE, may_be_new=False)


async def test_a_conversation_that_has(history: MemoryHistory) -> None:
    chat = chat_on(told("Hi"), history)
    await ask(told("Hi"), history)

    assert len(await chat.history(HERE, may_be_new=False)) == 1
    assert [each.id for each in await chat.conversations("alice")] == ["default"]
    assert await chat.conversations("bob") == []
    await chat.clear(HERE, may_be_new=False)
    assert await chat.conversations("alice") == []
