import asyncio
from collections.abc import Iterable, Sequence

import pytest

from tokenfall.conversations import Conversation, ConversationInfo
from tokenfall.errors import StoreUnavailable
from tokenfall.history.memory import MemoryHistory
from tokenfall.history.search import BATCH, PIECE_CHARACTERS, Scan, search
from tokenfall.slicing.computation import at_once

from tests.contracts.history import turn


def info(name: str, title: str = "") -> ConversationInfo:
    return ConversationInfo(name, 1.0, 2, title)


def found(scan: Scan, *batch: tuple[ConversationInfo, Iterable[str] | None]) -> list[str]:
    at_once(scan.add(batch))
    return [each.id for each in scan.found]


def test_words_may_be_in_title_and_texts() -> None:
    scan = Scan(["blue", "Sky"], 9)

    assert found(scan, (info("a", "BLUE"), ["the sky"]), (info("b", "blue"), ["x"]), (info("c"), ["x", "skyblue"])) == [
        "a",
        "c",
    ]


def test_conversation_deleted_meanwhile_is_skipped() -> None:
    assert found(Scan(["a"], 9), (info("a", "a"), None), (info("b", "a"), [])) == ["b"]


@pytest.mark.parametrize("start", range(PIECE_CHARACTERS - 8, PIECE_CHARACTERS + 2))
def test_word_across_two_slices_is_found(start: int) -> None:
    text = "x" * start + "STRASSE" + "x" * PIECE_CHARACTERS

    assert found(Scan(["straße"], 9), (info("a"), [text])) == ["a"]


def test_texts_are_searched_in_slices() -> None:
    slices = list(Scan(["a"], 9).add([(info("a"), ["x" * 5 * PIECE_CHARACTERS, "x"])]))

    assert len(slices) >= 6


def test_page_ends_when_it_is_full() -> None:
    scan = Scan(["a"], 2)

    assert found(scan, *((info(name, "a"), []) for name in "abc")) == ["a", "b"]
    assert scan.is_done


def test_page_ends_at_the_character_limit_with_the_matches_so_far() -> None:
    scan = Scan(["a"], 9, characters=2 * PIECE_CHARACTERS)
    long = ["x" * PIECE_CHARACTERS] * 3 + ["a"]

    assert found(scan, (info("a", "a"), []), (info("b"), long), (info("c", "a"), [])) == ["a"]
    assert scan.is_done


class OneByOne(MemoryHistory):
    """Returns the texts of one conversation at a time."""

    def __init__(self) -> None:
        super().__init__(limit=4, max_bytes=2**30)
        self.batches: list[Sequence[str]] = []
        self.failure: Exception | None = None

    async def texts(self, owner: str, ids: Sequence[str]) -> Sequence[Iterable[str] | None]:
        self.batches.append(ids)
        if self.failure is not None:
            raise self.failure
        return await super().texts(owner, ids[:1])


@pytest.fixture
async def history() -> OneByOne:
    made = OneByOne()
    for name in "cba":
        await made.append(Conversation("alice", name), turn(1))
    return made


async def test_nothing_is_read_after_the_page_is_full(history: OneByOne) -> None:
    assert [each.id for each in await search(history, "alice", words=["answer"], limit=2)] == ["a", "b"]
    assert history.batches == [["a", "b", "c"], ["b", "c"]]


async def test_error_of_the_store_ends_the_search(history: OneByOne) -> None:
    history.failure = StoreUnavailable("no")

    with pytest.raises(StoreUnavailable):
        await search(history, "alice", words=["answer"], limit=60)


async def test_conversation_deleted_during_a_search_is_not_found() -> None:
    history = MemoryHistory(limit=4, max_bytes=2**30)
    for number in range(BATCH):
        await history.append(Conversation("alice", f"c{number}"), turn(number))
    await history.append(Conversation("alice", "long"), turn(BATCH, text="É" * 300 * PIECE_CHARACTERS))
    searching = asyncio.create_task(search(history, "alice", words=["question"], limit=60))
    await asyncio.sleep(0)
    assert await history.clear(Conversation("alice", "c0"))
    assert not searching.done()

    assert [each.id for each in await searching] == [f"c{number}" for number in range(BATCH - 1, 0, -1)]
