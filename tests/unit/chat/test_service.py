import asyncio
from collections.abc import Awaitable, Sequence

import msgspec
import pytest

from tokenfall.chat.service import MAX_CONTEXT_BYTES, Chat, Defaults, Question
from tokenfall.conversations import MAX_VARIANTS, MAX_VARIANTS_CHARACTERS, Conversation, Turn, Variant
from tokenfall.errors import (
    ConversationChanged,
    ConversationTooLong,
    IdempotencyMismatch,
    NotFound,
    ShuttingDown,
    StoreUnavailable,
    TurnStopped,
    UpstreamBroken,
)
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.history.memory import MemoryHistory
from tokenfall.messages import Message
from tokenfall.ports import Engine, HistoryStore, SharedTurns
from tokenfall.turns.run import TurnRun
from tokenfall.turns.turn import FollowedLocally, OnDisconnect

from tests.doubles.connections import settle
from tests.doubles.engines import ScriptedEngine, Silence, text_engine
from tests.doubles.stores import FakeSharedTurns, SlowHistory
from tests.doubles.turns import HERE, ManualEngine, RecordingListener, chat_service

DEFAULTS = Defaults(model="model-0", max_tokens=99, system=None, context_messages=4)
END = Finished("stop", "model-1")


@pytest.fixture
def history() -> MemoryHistory:
    return MemoryHistory(limit=100, max_bytes=1_000_000)


def chat_on(
    engine: Engine, history: HistoryStore, *, defaults: Defaults = DEFAULTS, shared: SharedTurns | None = None
) -> Chat:
    return chat_service(engine, history, defaults=defaults, shared=shared)


def question(
    text: str = "Why?",
    *,
    key: str | None = None,
    on_disconnect: OnDisconnect | None = None,
    owner: str = "alice",
    replaces: str | None = None,
    continues: str | None = None,
    after: str | None = None,
) -> Question:
    return Question(
        conversation=Conversation(owner, HERE.id),
        message=Message("user", text),
        on_disconnect=on_disconnect,
        idempotency=None if key is None else (key, text),
        replaces=replaces,
        continues=continues,
        after=after,
    )


def ignore(delta: TextDelta | ReasoningDelta) -> Awaitable[None] | None:
    return None


async def start(chat: Chat, asked_question: Question) -> TurnRun:
    answering = await chat.begin(asked_question)
    assert isinstance(answering, TurnRun)
    return answering


async def run_question(engine: Engine, history: HistoryStore, text: str = "Why?") -> Finished:
    return await (await chat_on(engine, history).begin(question(text))).run(ignore)


async def stored_turns(history: HistoryStore) -> Sequence[Turn]:
    return await history.turns(HERE) or ()


async def stored_texts(history: HistoryStore) -> list[tuple[str, str]]:
    return [(turn.answer.content, turn.status) for turn in await stored_turns(history)]


async def detached(chat: Chat, engine: ManualEngine, *texts: str) -> tuple[TurnRun, "asyncio.Task[Finished]"]:
    """A detached turn whose engine has produced `texts`."""
    answering = await start(chat, question(on_disconnect="finish"))
    running = asyncio.create_task(answering.run(ignore))
    engine.emit(*texts)
    await settle()
    assert answering.detach()
    return answering, running


# Start of a turn


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), OSError("s3cret")])
async def test_turn_whose_history_read_fails_is_removed(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowHistory()
    slow.may_read.clear()
    chat = chat_on(text_engine("Hi"), slow)
    beginning = asyncio.create_task(chat.begin(question(key="k")))
    await slow.reading.wait()
    (turn,) = chat.turns.running()
    following = asyncio.create_task((await chat.turns.follow("alice", turn.id, after=0)).run(ignore))

    async def turns(conversation: Conversation, last: int | None = None) -> Sequence[Turn]:
        raise failure

    monkeypatch.setattr(MemoryHistory, "turns", lambda *args, **kwargs: turns(HERE))
    slow.may_read.set()
    with pytest.raises(type(failure)):
        await beginning
    with pytest.raises(Exception, match=r"down|the response failed"):
        await following
    assert chat.turns.running() == []
    assert chat.turns.claims == 0


@pytest.mark.parametrize("key", [None, "k"])
async def test_cancelling_during_the_history_read_leaves_no_turn(key: str | None) -> None:
    slow = SlowHistory()
    slow.may_read.clear()
    chat = chat_on(text_engine("Hi"), slow)
    beginning = asyncio.create_task(chat.begin(question(key=key)))
    await slow.reading.wait()
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning

    assert (len(chat.turns), chat.turns.claims) == (0, 0)


async def test_turn_stopped_during_the_history_read_does_not_call_the_engine() -> None:
    slow = SlowHistory()
    slow.may_read.clear()
    engine = text_engine("Hi")
    chat = chat_on(engine, slow)
    beginning = asyncio.create_task(start(chat, question()))
    await slow.reading.wait()
    (turn,) = chat.turns.running()
    stopping = asyncio.create_task(chat.turns.stop("alice", turn.id))
    await settle()
    slow.may_read.set()
    with pytest.raises(TurnStopped):
        await (await beginning).run(ignore)
    await stopping

    assert engine.requests == []


# Replaced turns


async def run_three_turns(history: HistoryStore) -> list[str]:
    """Run three turns and return their ids."""
    for text in ("one", "two", "three"):
        await run_question(text_engine(f"to {text}"), history, text)
    return [turn.id for turn in await stored_turns(history)]


@pytest.mark.parametrize(("place", "shown"), [(0, []), (1, ["one", "to one"]), (2, ["one", "to one", "two", "to two"])])
async def test_replacing_turn_gets_the_context_before_the_replaced_one(
    history: MemoryHistory, place: int, shown: list[str]
) -> None:
    ids = await run_three_turns(history)
    engine = text_engine("better")
    await (await chat_on(engine, history).begin(question("again", replaces=ids[place]))).run(ignore)

    assert [message.content for message in engine.requests[0].messages] == [*shown, "again"]
    assert [turn.id for turn in await stored_turns(history)][:-1] == ids[:place]
    assert [turn.question.content for turn in await stored_turns(history)][-1] == "again"


async def test_context_of_a_replacing_turn_is_limited(history: MemoryHistory) -> None:
    ids = await run_three_turns(history)
    await run_question(text_engine("to four"), history, "four")
    engine = text_engine("better")
    defaults = Defaults(model="m", max_tokens=9, system=None, context_messages=2)
    chat = chat_on(engine, history, defaults=defaults)
    await (await chat.begin(question("again", replaces=ids[2]))).run(ignore)

    assert [message.content for message in engine.requests[0].messages] == ["two", "to two", "again"]


async def regenerated(history: MemoryHistory, *texts: str) -> Turn:
    """Regenerate the newest turn once per text and return it."""
    for text in texts:
        newest = (await stored_turns(history))[-1]
        again = question(newest.question.content, replaces=newest.id)
        await (await chat_on(text_engine(text), history).begin(again)).run(ignore)
    return (await stored_turns(history))[-1]


async def test_regenerated_turn_has_the_earlier_responses_as_variants(history: MemoryHistory) -> None:
    await run_three_turns(history)
    before = (await stored_turns(history))[-1]
    turn = await regenerated(history, "second", "third")

    assert turn.answer.content == "third"
    assert [each.content for each in turn.variants] == ["to three", "second"]
    assert turn.variants[0] == Variant(
        content="to three", status="complete", model="model-1", answered_at=before.answered_at, finish_reason="stop"
    )


async def test_number_of_variants_is_limited_to_the_newest(history: MemoryHistory) -> None:
    await run_question(text_engine("0"), history)
    turn = await regenerated(history, *map(str, range(1, MAX_VARIANTS + 3)))

    assert [each.content for each in turn.variants] == [str(number) for number in range(2, MAX_VARIANTS + 2)]


async def test_oldest_variants_are_dropped_over_the_maximum_of_characters(history: MemoryHistory) -> None:
    half = MAX_VARIANTS_CHARACTERS // 2
    await run_question(text_engine("0"), history)
    turn = await regenerated(history, "1" * half, "2" * half, "3" * half, "4" * 2 * half, "5")

    assert [each.content[:1] for each in turn.variants] == ["4"]
    turn = await regenerated(history, "6" * 4 * half, "7")
    assert turn.variants == ()


async def test_edited_turn_has_no_variants(history: MemoryHistory) -> None:
    await run_question(text_engine("first"), history)
    turn = await regenerated(history, "second")
    await (await chat_on(text_engine("other"), history).begin(question("edited", replaces=turn.id))).run(ignore)

    assert [each.variants for each in await stored_turns(history)] == [()]


async def test_continued_turn_keeps_its_variants(history: MemoryHistory) -> None:
    await run_question(text_engine("first"), history)
    turn = await regenerated(history, "second")
    await (await chat_on(text_engine(" part"), history).begin(question("go on", continues=turn.id))).run(ignore)
    (continued,) = await stored_turns(history)

    assert continued.answer.content == "second part"
    assert continued.variants == turn.variants


async def test_turn_is_stored_in_memory_without_a_turn_of_the_loop(history: MemoryHistory) -> None:
    running = (await chat_on(text_engine("a"), history).begin(question("hi"))).run(ignore)
    with pytest.raises(StopIteration):
        running.send(None)

    assert len(await stored_turns(history)) == 1


async def test_import_that_fails_halfway_adds_no_conversation(history: MemoryHistory) -> None:
    class Full(MemoryHistory):
        async def append(self, conversation: Conversation, turn: Turn) -> None:
            if turn.id == turns[1].id:
                raise StoreUnavailable("full")
            await super().append(conversation, turn)

    await run_three_turns(history)
    turns = await stored_turns(history)
    full = Full(limit=100, max_bytes=1_000_000)
    with pytest.raises(StoreUnavailable):
        await chat_on(text_engine("never"), full).add(HERE, turns, title="")
    assert await full.turns(HERE) is None

    for title, listed in [("", "one"), ("named", "named")]:
        added = MemoryHistory(limit=100, max_bytes=1_000_000)
        await chat_on(text_engine("never"), added).add(HERE, turns, title=title)
        assert await added.turns(HERE) == turns
        assert [each.title for each in await added.conversations(HERE.owner)] == [listed]


async def test_import_beyond_the_stored_messages_is_refused_and_adds_no_conversation(history: MemoryHistory) -> None:
    await run_three_turns(history)
    turns = await stored_turns(history)
    imported = MemoryHistory(limit=4, max_bytes=1_000_000)
    chat = chat_on(text_engine("never"), imported, defaults=msgspec.structs.replace(DEFAULTS, stored_messages=4))
    with pytest.raises(ConversationTooLong, match="has 6 messages; HISTORY_LIMIT allows 4"):
        await chat.add(HERE, turns, title="")
    assert await imported.turns(HERE) is None

    await chat.add(HERE, turns[1:], title="")
    assert await imported.turns(HERE) == turns[1:]


async def test_replaced_turns_are_deleted_only_when_the_new_turn_is_stored(history: MemoryHistory) -> None:
    ids = await run_three_turns(history)
    with pytest.raises(UpstreamBroken):
        await (await chat_on(text_engine(end=UpstreamBroken("500")), history).begin(question(replaces=ids[0]))).run(
            ignore
        )

    assert [turn.id for turn in await stored_turns(history)] == ids


# Turns with an expected predecessor


@pytest.mark.parametrize("context_messages", [1, 4])
async def test_turn_after_the_newest_turn_is_accepted(history: MemoryHistory, context_messages: int) -> None:
    ids = await run_three_turns(history)
    engine = text_engine("to four")
    defaults = Defaults(model="m", max_tokens=9, system=None, context_messages=context_messages)
    chat = chat_on(engine, history, defaults=defaults)
    await (await chat.begin(question("four", after=ids[2]))).run(ignore)
    await (await chat.begin(question("first", after="", owner="bob"))).run(ignore)

    shown = ["two", "to two", "three", "to three"] if context_messages == 4 else []
    assert [message.content for message in engine.requests[0].messages] == [*shown, "four"]
    assert len(engine.requests) == 2


@pytest.mark.parametrize("place", [None, 1])
@pytest.mark.parametrize("how", ["follows", "replaces", "continues"])
async def test_turn_after_an_older_turn_is_refused(history: MemoryHistory, place: int | None, how: str) -> None:
    ids = await run_three_turns(history)
    engine = text_engine("never")
    after = "" if place is None else ids[place]
    asked_question = question(
        after=after,
        replaces=ids[1] if how == "replaces" else None,
        continues=ids[1] if how == "continues" else None,
    )
    with pytest.raises(ConversationChanged, match=ids[2]):
        await chat_on(engine, history).begin(asked_question)

    assert engine.requests == []
    assert [turn.id for turn in await stored_turns(history)] == ids


async def test_turn_in_a_deleted_conversation_is_refused(history: MemoryHistory) -> None:
    with pytest.raises(ConversationChanged, match="it is empty"):
        await chat_on(text_engine("never"), history).begin(question(after="turn_0"))


# Continued turns


@pytest.mark.parametrize("context_messages", [1, 4])
async def test_continued_turn_sends_its_response_and_stores_question_and_complete_response(
    history: MemoryHistory, context_messages: int
) -> None:
    await run_question(text_engine("One, two,", end=Finished("length", "m")), history, "Count.")
    (cut,) = await stored_turns(history)
    engine = text_engine(" three.")
    defaults = Defaults(model="m", max_tokens=9, system=None, context_messages=context_messages)
    await (await chat_on(engine, history, defaults=defaults).begin(question("Go on.", continues=cut.id))).run(ignore)

    assert [message.content for message in engine.requests[0].messages] == ["Count.", "One, two,", "Go on."]
    (complete_turn,) = await stored_turns(history)
    assert (complete_turn.question.content, complete_turn.answer.content) == ("Count.", "One, two, three.")
    assert (cut.finish_reason, complete_turn.finish_reason) == ("length", "stop")


async def test_failed_continuation_without_text_leaves_the_turn_unchanged(history: MemoryHistory) -> None:
    await run_question(text_engine("One,", end=Finished("length", "m")), history)
    before = await stored_turns(history)
    chat = chat_on(text_engine(end=UpstreamBroken("500")), history)
    with pytest.raises(UpstreamBroken):
        await (await chat.begin(question("Go on.", continues=before[0].id))).run(ignore)

    assert await stored_turns(history) == before


@pytest.mark.parametrize("how", ["replaces", "continues"])
@pytest.mark.parametrize("owner", ["alice", "bob"])
async def test_unknown_turn_cannot_be_replaced_or_continued(history: MemoryHistory, owner: str, how: str) -> None:
    ids = await run_three_turns(history)
    missing = ids[0] if owner == "bob" else "turn_0"
    engine = text_engine("never")
    with pytest.raises(ConversationChanged, match=how):
        await chat_on(engine, history).begin(msgspec.structs.replace(question(owner=owner), **{how: missing}))

    assert engine.requests == []
    assert [turn.id for turn in await stored_turns(history)] == ids


# Idempotency keys


async def test_same_key_returns_the_same_turn_during_and_after_it(history: MemoryHistory) -> None:
    engine = ManualEngine()
    chat = chat_on(engine, history)
    first = await start(chat, question(key="k"))
    second = await chat.begin(question(key="k"))
    running = asyncio.gather(chat.runner.complete_response(first), chat.runner.complete_response(second))
    engine.emit("a", "b")
    engine.finish()

    assert set(await running) == {("ab", END)}
    assert await chat.runner.complete_response(await chat.begin(question(key="k"))) == ("ab", END)
    assert first.id == second.id
    assert isinstance(second, FollowedLocally)
    assert await stored_texts(history) == [("ab", "complete")]
    assert len(engine.requests) == 1
    with pytest.raises(IdempotencyMismatch):
        await chat.begin(question("What?", key="k"))
    assert isinstance(await chat.begin(question("What?", key="k", owner="bob")), TurnRun)


# Complete responses


async def test_complete_response_cancelled_before_it_starts_leaves_no_task(history: MemoryHistory) -> None:
    engine = text_engine("Hi")
    chat = chat_on(engine, history)
    answering = await start(chat, question())
    waiting = asyncio.create_task(chat.runner.complete_response(answering))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await chat.runner.close()

    assert chat.turns.running() == []


@pytest.mark.parametrize(
    ("on_disconnect", "kept_as"), [("finish", ("ab", "complete")), ("cancel", ("a", "interrupted"))]
)
async def test_cancelled_complete_response_cancels_or_detaches_the_turn(
    history: MemoryHistory, on_disconnect: OnDisconnect, kept_as: tuple[str, str]
) -> None:
    engine = ManualEngine()
    chat = chat_on(engine, history)
    waiting = asyncio.create_task(
        chat.runner.complete_response(await chat.begin(question(on_disconnect=on_disconnect)))
    )
    engine.emit("a")
    await settle()
    waiting.cancel()
    await settle()
    engine.emit("b")
    engine.finish()
    await settle()

    assert waiting.cancelled()
    assert await stored_texts(history) == [kept_as]


async def test_follower_of_a_complete_response_keeps_the_turn_running(history: MemoryHistory) -> None:
    engine = ManualEngine()
    chat = chat_on(engine, history)
    first = asyncio.create_task(chat.runner.complete_response(await chat.begin(question(key="k"))))
    await engine.requested.wait()
    second = asyncio.create_task(chat.runner.complete_response(await chat.begin(question(key="k"))))
    engine.emit("a")
    await settle()
    first.cancel()
    await settle()
    assert engine.cancelled == 0
    second.cancel()
    await settle()

    assert engine.cancelled == 1
    assert await stored_texts(history) == [("a", "interrupted")]


async def test_on_disconnect_setting_applies_without_a_request_option(history: MemoryHistory) -> None:
    defaults = Defaults(model="m", max_tokens=1, system=None, context_messages=2, on_disconnect="finish")
    engine = text_engine("Hi", end=Silence())
    chat = chat_on(engine, history, defaults=defaults)
    for asked_question, continues in ((question(), True), (question(on_disconnect="cancel"), False)):
        answering = await start(chat, asked_question)
        running = asyncio.create_task(answering.run(ignore))
        await settle()
        assert answering.detach() is continues
        running.cancel()
        await settle()


# Resume and stop


async def test_only_the_owner_can_resume_or_stop_a_turn(history: MemoryHistory) -> None:
    engine = ManualEngine()
    chat = chat_on(engine, history)
    answering = await start(chat, question())
    running = asyncio.create_task(answering.run(ignore))
    engine.emit("a", "b")
    await settle()
    for refused in (chat.turns.follow("bob", answering.id, after=0), chat.turns.stop("bob", answering.id)):
        with pytest.raises(NotFound):
            await refused
    listener = RecordingListener()
    following = asyncio.create_task((await chat.turns.follow("alice", answering.id, after=1)).run(listener.on_event))
    await chat.turns.stop("alice", answering.id)
    assert await stored_texts(history) == [("ab", "interrupted")], "stored before stop returns"
    for hearing in (running, following):
        with pytest.raises(TurnStopped):
            await hearing
    assert listener.texts == ["b"]
    await chat.turns.stop("alice", answering.id)


@pytest.mark.parametrize("shared", [None, FakeSharedTurns()])
def test_turns_survive_a_restart_only_if_shared(history: MemoryHistory, shared: FakeSharedTurns | None) -> None:
    assert chat_on(text_engine(), history, shared=shared).survives_restart is (shared is not None)


# Drain and close


async def test_drain_without_turns_ends_at_once(history: MemoryHistory) -> None:
    chat = chat_on(text_engine("Hi"), history)
    await chat.runner.drain(1e9)
    await chat.runner.close()

    assert chat.runner.draining


async def test_drain_waits_for_a_detached_turn_to_finish(history: MemoryHistory) -> None:
    engine = ManualEngine()
    chat = chat_on(engine, history)
    _, running = await detached(chat, engine, "a")
    draining = asyncio.create_task(chat.runner.drain(1e9))
    await settle()
    assert not draining.done()
    engine.finish()
    await draining
    await chat.runner.close()

    assert await running == END
    assert await stored_texts(history) == [("a", "complete")]


async def test_turn_detached_during_the_drain_may_run_until_its_end(history: MemoryHistory) -> None:
    engine = ManualEngine()
    chat = chat_on(engine, history)
    answering = await start(chat, question(on_disconnect="finish"))
    running = asyncio.create_task(answering.run(ignore))
    await engine.requested.wait()
    draining = asyncio.create_task(chat.runner.drain(1e9))
    await settle()
    assert answering.detach()
    await settle()
    assert not draining.done()
    engine.emit("a")
    engine.finish()
    await draining

    assert await running == END


async def test_detached_turn_is_ended_and_stored_after_the_drain(history: MemoryHistory) -> None:
    engine = ManualEngine()
    chat = chat_on(engine, history)
    answering, running = await detached(chat, engine, "a")
    following = asyncio.create_task((await chat.turns.follow("alice", answering.id, after=0)).run(ignore))
    await chat.runner.drain(0)
    await chat.runner.close()
    for hearing in (running, following):
        with pytest.raises(ShuttingDown):
            await hearing

    assert await stored_texts(history) == [("a", "interrupted")]


async def test_turn_with_a_client_is_not_ended_by_the_drain(history: MemoryHistory) -> None:
    engine = ManualEngine()
    chat = chat_on(engine, history)
    running = asyncio.create_task((await chat.begin(question())).run(ignore))
    await engine.requested.wait()
    await chat.runner.drain(0)
    await settle()
    assert not running.done(), "the HTTP server cuts it and sends an error event"
    running.cancel()
    await settle()


async def test_close_ends_detached_turns(history: MemoryHistory) -> None:
    engine = ManualEngine()
    chat = chat_on(engine, history)
    waiting = asyncio.create_task(chat.runner.complete_response(await chat.begin(question(on_disconnect="finish"))))
    engine.emit("a")
    await settle()
    waiting.cancel()
    await settle()
    await chat.runner.close()

    assert engine.cancelled == 1
    assert await stored_texts(history) == [("a", "interrupted")]


async def test_close_waits_for_every_write() -> None:
    slow = SlowHistory()
    chat = chat_on(text_engine("Hi"), slow)
    asking = asyncio.create_task((await chat.begin(question())).run(ignore))
    await slow.writing.wait()
    asking.cancel()
    closing = asyncio.create_task(chat.runner.close())
    await settle()
    assert not closing.done()
    slow.may_end.set()
    await closing

    assert await stored_texts(slow) == [("Hi", "complete")]


async def test_close_does_not_raise_failures_of_writes() -> None:
    slow = SlowHistory()
    slow.failure = OSError("disk full")
    chat = chat_on(text_engine("Hi"), slow)
    asking = asyncio.create_task((await chat.begin(question())).run(ignore))
    await slow.writing.wait()
    closing = asyncio.create_task(chat.runner.close())
    await settle()
    slow.may_end.set()
    await closing
    with pytest.raises(OSError, match="disk full"):
        await asking


# Context


async def test_system_message_of_the_question_replaces_the_default(history: MemoryHistory) -> None:
    engine = text_engine("Hi")
    defaults = Defaults(model="m", max_tokens=1, system=Message("system", "default"), context_messages=4)
    chat = chat_on(engine, history, defaults=defaults)
    own = Question(conversation=HERE, message=Message("user", "Why?"), system=Message("system", "own"))
    for each in (own, question()):
        await (await chat.begin(each)).run(ignore)

    assert [asked_question.messages[0].content for asked_question in engine.requests] == ["own", "default"]
    assert all(turn.question.role == "user" for turn in await stored_turns(history))


async def test_engine_is_not_called_before_run(history: MemoryHistory) -> None:
    engine = text_engine("Hi")
    await chat_on(engine, history).begin(question())

    assert engine.requests == []


async def test_concurrent_turns_do_not_interleave(history: MemoryHistory) -> None:
    engines = [ScriptedEngine(TextDelta(name), TextDelta(name), Finished("stop", "m")) for name in "ab"]
    await asyncio.gather(*(run_question(engine, history, name) for engine, name in zip(engines, "ab", strict=True)))

    assert sorted((turn.question.content, turn.answer.content) for turn in await stored_turns(history)) == [
        ("a", "aa"),
        ("b", "bb"),
    ]


# History


async def test_missing_conversation_is_empty_or_not_found(history: MemoryHistory) -> None:
    chat = chat_on(text_engine("Hi"), history)

    assert await chat.history(HERE, may_be_missing=True) == ()
    await chat.clear(HERE, may_be_missing=True)
    with pytest.raises(NotFound):
        await chat.history(HERE, may_be_missing=False)
    with pytest.raises(NotFound):
        await chat.clear(HERE, may_be_missing=False)


async def test_existing_conversation_is_listed_until_cleared(history: MemoryHistory) -> None:
    chat = chat_on(text_engine("Hi"), history)
    await run_question(text_engine("Hi"), history)

    assert len(await chat.history(HERE, may_be_missing=False)) == 1
    assert [each.id for each in (await chat.conversations("alice", limit=9, after=None))[0]] == ["default"]
    assert await chat.conversations("bob", limit=9, after=None) == ([], False)
    await chat.clear(HERE, may_be_missing=False)
    assert await chat.conversations("alice", limit=9, after=None) == ([], False)


async def test_only_the_owner_can_rename_pin_and_find_a_conversation(history: MemoryHistory) -> None:
    chat = chat_on(text_engine("Hi"), history)
    await run_question(text_engine("Hi"), history)
    await chat.rename(HERE, "Reasons")
    await chat.pin(HERE, True)
    for change in (chat.rename(Conversation("bob", HERE.id), "Mine"), chat.pin(Conversation("bob", HERE.id), False)):
        with pytest.raises(NotFound):
            await change

    found, _ = await chat.conversations("alice", limit=9, after=None, words=("hi",))
    assert [(each.title, each.pinned) for each in found] == [("Reasons", True)]
    assert await chat.conversations("alice", limit=9, after=None, words=("nothing",)) == ([], False)
    assert await chat.conversations("bob", limit=9, after=None, words=("hi",)) == ([], False)


async def test_context_is_limited_by_its_token_budget(history: MemoryHistory) -> None:
    engine = text_engine("So.")
    defaults = Defaults(model="m", max_tokens=1, system=None, context_messages=100, context_tokens=16)
    chat = chat_on(engine, history, defaults=defaults)
    for number in range(3):
        await (await chat.begin(question(f"{number}?"))).run(ignore)

    assert [message.content for message in engine.requests[2].messages] == ["1?", "So.", "2?"]


async def test_refusal_is_stored_as_the_end_of_its_turn(history: MemoryHistory) -> None:
    await run_question(text_engine("No.", end=Finished("content_filter", "m", refused=True)), history)
    await run_question(text_engine("Half", end=Finished("content_filter", "m")), history)

    assert [turn.finish_reason for turn in await stored_turns(history)] == ["refusal", "content_filter"]


@pytest.mark.parametrize("system", [None, Message("system", "Be brief, be exact, be kind.")])
@pytest.mark.parametrize("budget", [*range(0, 60, 4), None])
async def test_turns_in_context_are_those_sent_with_a_short_question(
    history: MemoryHistory, budget: int | None, system: Message | None
) -> None:
    for number in range(4):
        await run_question(text_engine("So."), history, f"{number}?")
    engine = text_engine("Yes.")
    defaults = Defaults(model="m", max_tokens=1, system=None, context_messages=6, context_tokens=budget)
    chat = chat_on(engine, history, defaults=defaults)
    turns = await chat.in_context(HERE, system=system)
    await (await chat.begin(msgspec.structs.replace(question(""), system=system))).run(ignore)

    sent = [message for turn in turns for message in (turn.question, turn.answer)]
    assert [each for each in engine.requests[0].messages[:-1] if each.role != "system"] == sent
    assert (len(sent) == 6) if budget is None else (len(sent) <= 6)


async def test_default_system_message_takes_room_in_the_context(history: MemoryHistory) -> None:
    await run_question(text_engine("So."), history)
    defaults = Defaults(model="m", max_tokens=1, system=None, context_messages=6, context_tokens=14)

    for system, turns in ((None, 1), (Message("system", "Rhyme."), 0)):
        chat = chat_on(text_engine(), history, defaults=msgspec.structs.replace(defaults, system=system))
        assert len(await chat.in_context(HERE, system=None)) == turns


async def test_long_turns_in_context_are_those_sent_with_a_short_question() -> None:
    history = MemoryHistory(limit=100, max_bytes=100_000_000)
    for number in range(4):
        await run_question(text_engine("a" * (MAX_CONTEXT_BYTES // 3)), history, f"{number}?")
    engine = text_engine("Yes.")
    chat = chat_on(engine, history, defaults=msgspec.structs.replace(DEFAULTS, context_messages=100))
    turns = await chat.in_context(HERE, system=None)
    await (await chat.begin(question(""))).run(ignore)

    assert [turn.question.content for turn in turns] == ["2?", "3?"]
    assert len(engine.requests[0].messages) == 2 * len(turns) + 1


async def test_missing_conversation_has_nothing_in_context(history: MemoryHistory) -> None:
    chat = chat_on(text_engine(), history)

    assert await chat.in_context(Conversation("alice", "none"), system=None) == ()
