"""The contract of `HistoryStore`. The tests of a store inherit the suite and define the fixture `history`."""

import asyncio

import pytest
from msgspec.structs import replace

from tokenfall.conversations import Conversation, Turn, Variant
from tokenfall.errors import NotFound
from tokenfall.events import Usage
from tokenfall.history.search import BATCH, BATCH_BYTES, CONVERSATION_BYTES, PIECE_CHARACTERS, search
from tokenfall.messages import Message
from tokenfall.ports import HistoryStore

LIMIT = 6
"""Maximum number of messages of a conversation in the store under test: three turns."""

ALICE = Conversation("alice", "default")
BOB = Conversation("bob", "default")


def turn(number: int, *, text: str = "", replaces: int | None = None) -> Turn:
    """A turn whose values all depend on `number`."""
    return Turn(
        id=f"turn_{number}",
        question=Message("user", text or f"question {number}"),
        answer=Message("assistant", text or f"answer {number}"),
        status="complete",
        model="sim",
        asked_at=1_700_000_000.25 + number,
        answered_at=1_700_000_000.75 + number,
        finish_reason="stop",
        usage=Usage(3, number),
        ttft_s=0.25,
        tokens_per_s=number + 0.5,
        replaces=None if replaces is None else f"turn_{replaces}",
    )


class DocumentsContract:
    """What a store that reads documents must do besides. A class of its tests inherits it as well."""

    async def test_search_reads_only_the_oldest_texts_of_a_very_long_conversation(self, history: HistoryStore) -> None:
        for number, word in enumerate(("early", "middle", "late")):
            text = word + " x" * (CONVERSATION_BYTES // 7)  # as question and as answer
            await history.append(ALICE, turn(number, text=text))

        assert [each.id for each in await search(history, "alice", words=["early"], limit=60)] == [ALICE.id]
        assert await search(history, "alice", words=["late"], limit=60) == []


class HistoryContract:
    """The suite. Every test gets a new, empty store."""

    @pytest.fixture
    def history(self) -> HistoryStore:
        """An empty store with at most `LIMIT` messages per conversation."""
        raise NotImplementedError

    async def test_unknown_conversation_is_none_and_cannot_be_changed(self, history: HistoryStore) -> None:
        await history.append(ALICE, turn(1))

        assert await history.turns(BOB) is None
        assert await history.rename(BOB, "mine") is False
        assert await history.pin(BOB, True) is False
        assert await history.conversations("bob") == []

    async def test_turns_round_trip_in_append_order_regardless_of_their_times(self, history: HistoryStore) -> None:
        earlier = Variant(content="é", status="interrupted", model="sim", answered_at=1.5, end_code="stopped")
        varied = replace(turn(3), variants=(earlier, replace(earlier, content="second", end_code="")))
        cut = Turn(
            id="turn_cut",
            question=Message("user", "tell me"),
            answer=Message("assistant", "well, I", thought="They want a story."),
            status="interrupted",
            model="llama",
            asked_at=1.5,
            answered_at=2.5,
            end_code="stopped",
            thought_s=1.5,
        )
        for each in (varied, cut, turn(2)):
            await history.append(ALICE, each)

        assert await history.turns(ALICE) == [varied, cut, turn(2)]

    @pytest.mark.parametrize("text", ["\0\r\n\x1b", "\u2028\ufeff\U0001f600", "'; DROP TABLE turns; --", "é" * 10_000])
    async def test_any_text_round_trips(self, history: HistoryStore, text: str) -> None:
        await history.append(ALICE, turn(1, text=text))

        assert await history.turns(ALICE) == [turn(1, text=text)]

    @pytest.mark.parametrize(("last", "expected"), [(0, []), (1, [3]), (2, [2, 3]), (3, [1, 2, 3]), (9, [1, 2, 3])])
    async def test_newest_turns_are_returned_oldest_first(
        self, history: HistoryStore, last: int, expected: list[int]
    ) -> None:
        for number in (1, 2, 3):
            await history.append(ALICE, turn(number))

        assert await history.turns(ALICE, last) == [turn(number) for number in expected]

    @pytest.mark.parametrize(
        ("until", "last", "expected"), [(2, None, [1, 2]), (2, 1, [2]), (3, 2, [2, 3]), (9, 1, [])]
    )
    async def test_turns_until_one_are_that_turn_and_those_before_it(
        self, history: HistoryStore, until: int, last: int | None, expected: list[int]
    ) -> None:
        for number in (1, 2, 3):
            await history.append(ALICE, turn(number))

        found = await history.turns(ALICE, last, until=f"turn_{until}")
        assert found == [turn(number) for number in expected]

    @pytest.mark.parametrize(("max_bytes", "expected"), [(1, [3]), (25_000, [2, 3]), (100_000, [1, 2, 3])])
    async def test_older_turns_are_omitted_over_the_maximum_of_bytes(
        self, history: HistoryStore, max_bytes: int, expected: list[int]
    ) -> None:
        for number in (1, 2, 3):
            await history.append(ALICE, turn(number, text="x" * 5_000))  # as question and as answer

        found = await history.turns(ALICE, max_bytes=max_bytes) or ()
        assert [each.id for each in found] == [f"turn_{number}" for number in expected]

    async def test_size_is_about_that_of_all_texts(self, history: HistoryStore) -> None:
        assert await history.size_bytes(ALICE) == 0
        for number in (1, 2):
            await history.append(ALICE, turn(number, text="x" * 5_000))

        assert 20_000 <= await history.size_bytes(ALICE) < 22_000

    async def test_oldest_turn_of_a_conversation_is_dropped_at_the_limit(self, history: HistoryStore) -> None:
        await history.append(BOB, turn(9))
        for number in range(LIMIT // 2):
            await history.append(ALICE, turn(number))
        before = await history.turns(ALICE)
        await history.append(ALICE, turn(3))

        assert before == [turn(0), turn(1), turn(2)]
        assert await history.turns(ALICE) == [turn(1), turn(2), turn(3)]
        assert await history.turns(BOB) == [turn(9)]

    async def test_concurrent_turns_are_stored_completely_and_once(self, history: HistoryStore) -> None:
        turns = [turn(number) for number in range(LIMIT // 2)]
        await asyncio.gather(*(history.append(ALICE, each) for each in turns))
        kept = await history.turns(ALICE) or ()

        assert sorted(kept, key=lambda each: each.id) == turns

    @pytest.mark.parametrize(("replaced", "left"), [(1, [9]), (2, [1, 9]), (3, [1, 2, 9])])
    async def test_turn_replaces_another_and_all_later_ones(
        self, history: HistoryStore, replaced: int, left: list[int]
    ) -> None:
        for number in (1, 2, 3):
            await history.append(ALICE, turn(number))
        await history.append(ALICE, turn(9, replaces=replaced))

        assert [each.id for each in await history.turns(ALICE) or ()] == [f"turn_{number}" for number in left]
        assert [each.messages for each in await history.conversations("alice")] == [2 * len(left)]

    async def test_turns_are_appended_after_a_replacement(self, history: HistoryStore) -> None:
        for number in (1, 2, 3):
            await history.append(ALICE, turn(number))
        await history.append(ALICE, turn(4, replaces=2))
        for number in (5, 6):
            await history.append(ALICE, turn(number))

        assert await history.turns(ALICE) == [turn(4, replaces=2), turn(5), turn(6)]

    async def test_repeated_replacement_drops_nothing(self, history: HistoryStore) -> None:
        for number in (1, 2):
            await history.append(ALICE, turn(number))
        await history.append(ALICE, turn(3, replaces=2))
        await history.append(ALICE, turn(4))
        await history.append(ALICE, turn(3, replaces=2))

        assert [each.id for each in await history.turns(ALICE) or ()] == ["turn_1", "turn_3", "turn_4"]

    async def test_turn_that_replaces_a_dropped_one_or_one_of_another_conversation_is_stored(
        self, history: HistoryStore
    ) -> None:
        await history.append(BOB, turn(1))
        await history.append(ALICE, turn(2, replaces=1))
        await history.append(ALICE, turn(3, replaces=7))

        assert await history.turns(BOB) == [turn(1)]
        assert await history.turns(ALICE) == [turn(2, replaces=1), turn(3, replaces=7)]

    async def test_owner_and_id_are_not_concatenated(self, history: HistoryStore) -> None:
        await history.append(Conversation("a:b", "c"), turn(1))

        assert await history.turns(Conversation("a", "b:c")) is None
        assert await history.conversations("a") == []

    async def test_clear_deletes_one_conversation_with_its_title(self, history: HistoryStore) -> None:
        other = Conversation("alice", "other")
        for number, conversation in enumerate((ALICE, other, BOB)):
            await history.append(conversation, turn(number))
        await history.rename(ALICE, "old")

        assert [await history.clear(ALICE), await history.clear(ALICE)] == [True, False]
        assert await history.turns(ALICE) is None
        assert [(each.id, each.messages) for each in await history.conversations("alice")] == [("other", 2)]
        assert [await history.turns(each) for each in (other, BOB)] == [[turn(1)], [turn(2)]]
        await history.append(ALICE, turn(4))
        assert await history.turns(ALICE) == [turn(4)]
        assert [each.title for each in await history.conversations("alice")] == ["question 4", "question 1"]

    async def test_conversations_are_listed_by_their_last_activity(self, history: HistoryStore) -> None:
        for number, name in enumerate(("first", "second", "third", "first")):
            await history.append(Conversation("alice", name), turn(number))
        listed = await history.conversations("alice")

        assert [(each.id, each.messages) for each in listed] == [("first", 4), ("third", 2), ("second", 2)]
        assert [each.last_activity for each in listed] == [turn(number).answered_at for number in (3, 2, 1)]

    async def test_repeated_turn_is_stored_once_and_does_not_count_as_activity(self, history: HistoryStore) -> None:
        other = Conversation("alice", "other")
        await history.append(ALICE, turn(1))
        await history.append(ALICE, turn(2))
        await history.append(other, turn(3))
        await history.append(ALICE, turn(1))

        assert await history.turns(ALICE) == [turn(1), turn(2)]
        assert [each.id for each in await history.conversations("alice")] == ["other", "default"]

    async def test_turn_with_a_known_id_does_not_change_the_stored_one(self, history: HistoryStore) -> None:
        await history.append(ALICE, turn(1))
        await history.append(ALICE, turn(1, text="with other text"))
        await history.append(BOB, turn(1, text="of another owner"))

        assert await history.turns(ALICE) == [turn(1)]
        assert await history.turns(BOB) == [turn(1, text="of another owner")]

    @pytest.mark.parametrize("name", ["", "a b", "{", "}{", "%7B", "*", "\0", "é", "😀"])
    async def test_owners_and_ids_may_be_any_text(self, history: HistoryStore, name: str) -> None:
        conversation = Conversation(name, name)
        await history.append(conversation, turn(1))
        await history.append(Conversation("anonymous", name), turn(2))
        await history.rename(conversation, f"<{name}>")

        assert await history.turns(conversation) == [turn(1)]
        assert [(each.id, each.title) for each in await history.conversations(name)] == [(name, f"<{name}>")]

    async def test_title_is_the_first_question_until_renamed(self, history: HistoryStore) -> None:
        await history.append(ALICE, turn(1))
        await history.append(ALICE, turn(2))
        assert [each.title for each in await history.conversations("alice")] == ["question 1"]

        assert await history.rename(ALICE, "holidays") is True
        await history.append(ALICE, turn(3))
        assert [each.title for each in await history.conversations("alice")] == ["holidays"]

    async def test_renaming_does_not_count_as_activity_and_changes_no_other(self, history: HistoryStore) -> None:
        other = Conversation("alice", "other")
        await history.append(ALICE, turn(1))
        await history.append(other, turn(2))
        await history.rename(ALICE, "old")
        listed = await history.conversations("alice")

        assert [(each.id, each.title) for each in listed] == [("other", "question 2"), ("default", "old")]

    async def test_check_of_a_working_store_succeeds(self, history: HistoryStore) -> None:
        await history.check()

    async def test_conversations_are_listed_in_pages(self, history: HistoryStore) -> None:
        for number in range(7):
            await history.append(Conversation("alice", f"c{number}"), turn(number))
        await history.append(BOB, turn(8))
        await history.append(Conversation("alice", "c2"), turn(9))
        ids: list[str] = []
        while page := await history.conversations("alice", limit=3, after=ids[-1] if ids else None):
            ids += [each.id for each in page]

        assert ids == ["c2", "c6", "c5", "c4", "c3", "c1", "c0"]

    async def test_page_after_an_unknown_conversation_is_not_found(self, history: HistoryStore) -> None:
        await history.append(ALICE, turn(1))
        await history.append(BOB, turn(2))
        await history.clear(BOB)
        for owner in ("alice", "bob", "carol"):
            with pytest.raises(NotFound, match="after"):
                await history.conversations(owner, after="gone")

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (["question"], ["c2", "c1", "c0"]),
            (["QUEST", "2"], ["c2"]),
            (["answer", "grüße"], ["c1"]),
            (["GRÜSSE"], ["c1"]),
            (["on", "answer 1"], ["c1"]),
            (["question 1", "answer 2"], []),
        ],
    )
    async def test_search_finds_conversations_with_all_words(
        self, history: HistoryStore, words: list[str], found: list[str]
    ) -> None:
        for number in range(3):
            await history.append(Conversation("alice", f"c{number}"), turn(number))
        await history.append(Conversation("bob", "c9"), turn(1, text="question answer grüße"))
        await history.rename(Conversation("alice", "c1"), "Viele Grüße")

        assert [each.id for each in await search(history, "alice", words=words, limit=60)] == found

    async def test_later_turns_are_searched_and_dropped_ones_are_not(self, history: HistoryStore) -> None:
        for number in range(LIMIT // 2 + 1):
            await history.append(ALICE, turn(number))
        await history.rename(ALICE, "named")
        listed = list(await history.conversations("alice"))

        assert await search(history, "alice", words=["answer 0"], limit=60) == []
        assert await search(history, "alice", words=[f"answer {LIMIT // 2}"], limit=60) == listed

    async def test_search_results_are_listed_in_pages(self, history: HistoryStore) -> None:
        for number in range(7):
            text = "blue" if number % 2 else "red"
            await history.append(Conversation("alice", f"c{number}"), turn(number, text=text))

        assert [each.id for each in await search(history, "alice", words=["blue"], limit=2)] == ["c5", "c3"]
        assert [each.id for each in await search(history, "alice", words=["blue"], limit=2, after="c3")] == ["c1"]
        assert await search(history, "alice", words=["blue"], limit=60, after="c1") == []
        with pytest.raises(NotFound, match="after"):
            await search(history, "alice", words=["blue"], limit=60, after="gone")

    async def test_search_finds_a_word_across_the_pieces_of_a_long_text(self, history: HistoryStore) -> None:
        for number in range(2 * BATCH + 1):
            await history.append(Conversation("alice", f"c{number}"), turn(number))
        for number in range(3):
            text = "x" * (PIECE_CHARACTERS - 3) + "Needle" + "y" * (BATCH_BYTES // 2)  # as question and as answer
            await history.append(Conversation("alice", f"c{number}"), turn(1_000 + number, text=text))

        assert [each.id for each in await search(history, "alice", words=["needle"], limit=60)] == ["c2", "c1", "c0"]
        assert len(await search(history, "alice", words=["question"], limit=1_000)) == 2 * BATCH + 1

    async def test_conversation_is_pinned_until_unpinned_or_deleted(self, history: HistoryStore) -> None:
        other = Conversation("alice", "other")
        await history.append(ALICE, turn(1))
        await history.append(other, turn(2))
        for _ in range(2):
            assert await history.pin(ALICE, True) is True
            listed = await history.conversations("alice")
            assert [(each.id, each.pinned) for each in listed] == [("other", False), ("default", True)]
        await history.append(ALICE, turn(3))
        assert [each.pinned for each in await history.conversations("alice")] == [True, False]
        assert await history.pin(ALICE, False) is True
        assert [each.pinned for each in await history.conversations("alice")] == [False, False]
        await history.pin(ALICE, True)
        await history.clear(ALICE)
        await history.append(ALICE, turn(4))
        assert [each.pinned for each in await history.conversations("alice")] == [False, False]
