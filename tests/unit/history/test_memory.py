from collections.abc import Sequence
from sys import getsizeof
from time import thread_time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.conversations import Conversation, ConversationInfo, Turn
from tokenfall.history.memory import TURN_OVERHEAD_BYTES, MemoryHistory, size_bytes
from tokenfall.messages import Message

from tests.contracts.history import ALICE, BOB, LIMIT, HistoryContract, turn

ROOMY = 1_000_000
MANY = 100_000


class TestMemoryHistory(HistoryContract):
    @pytest.fixture
    def history(self) -> MemoryHistory:
        return MemoryHistory(limit=LIMIT, max_bytes=ROOMY)


def held_bytes(history: MemoryHistory) -> int:
    return sum(size_bytes(each) for turns in history._conversations.values() for each in turns)


def small(turns: int) -> MemoryHistory:
    """Room for so many turns of `turn(number, text="xy")`."""
    return MemoryHistory(limit=100, max_bytes=turns * (TURN_OVERHEAD_BYTES + 4))


@pytest.mark.parametrize("text", ["a" * 9_000, "é" * 9_000, "ж" * 9_000, "ж" * 9_000 + "🙂"])
def test_a_turn_is_counted_with_what_its_texts_hold_once_they_were_encoded(text: str) -> None:
    kept = turn(1, text=text)
    msgspec.json.encode(kept)
    held = getsizeof(kept.question.content) + getsizeof(kept.answer.content)

    assert held <= size_bytes(kept) < 1.5 * held


@pytest.mark.parametrize(("limit", "turns"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)])
async def test_a_limit_of_messages_is_kept_in_whole_turns(limit: int, turns: int) -> None:
    history = MemoryHistory(limit=limit, max_bytes=ROOMY)
    for number in range(4):
        await history.append(ALICE, turn(number))

    assert await history.turns(ALICE) == [turn(number) for number in range(4 - turns, 4)]


async def test_what_was_quiet_for_longest_gives_when_memory_is_full() -> None:
    history = small(3)
    for number, conversation in enumerate((ALICE, BOB, ALICE, BOB)):
        await history.append(conversation, turn(number, text="xy"))

    assert [len(await history.turns(each) or ()) for each in (ALICE, BOB)] == [1, 2]


async def test_a_conversation_that_lost_all_is_gone() -> None:
    history = small(2)
    for number, conversation in enumerate((ALICE, BOB, BOB)):
        await history.append(conversation, turn(number, text="xy"))

    assert await history.turns(ALICE) is None
    assert await history.conversations("alice") == []


async def test_a_conversation_alone_gives_its_own_oldest() -> None:
    history = small(2)
    for number in range(3):
        await history.append(ALICE, turn(number, text="xy"))

    assert await history.turns(ALICE) == [turn(1, text="xy"), turn(2, text="xy")]


async def test_a_turn_larger_than_all_memory_is_kept_alone() -> None:
    history = small(2)
    await history.append(ALICE, turn(1, text="xy"))
    await history.append(BOB, turn(2, text="x" * 5_000))

    assert await history.turns(BOB) == [turn(2, text="x" * 5_000)]
    assert await history.turns(ALICE) is None


async def test_reading_is_no_activity() -> None:
    history = small(2)
    await history.append(ALICE, turn(1, text="xy"))
    await history.append(BOB, turn(2, text="xy"))
    await history.turns(ALICE)
    await history.append(Conversation("carol", "c"), turn(3, text="xy"))

    assert await history.turns(ALICE) is None


async def test_a_million_empty_turns_are_bounded_too() -> None:
    history = MemoryHistory(limit=2, max_bytes=20 * TURN_OVERHEAD_BYTES)
    nothing = Turn(
        id="",
        question=Message("user", ""),
        answer=Message("assistant", ""),
        status="complete",
        model="",
        asked_at=0,
        answered_at=0,
    )
    for number in range(1_000):
        await history.append(Conversation("", str(number)), nothing)

    assert len(await history.conversations("")) == 20


STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "append", "append", "clear"]), st.sampled_from("abc"), st.integers(0, 2_000))
)


@given(STEPS)
async def test_the_bytes_that_are_counted_are_those_that_are_held(steps: list[tuple[str, str, int]]) -> None:
    history = MemoryHistory(limit=6, max_bytes=8_000)
    for number, (step, name, size) in enumerate(steps):
        conversation = Conversation("", name)
        if step == "append":
            await history.append(conversation, turn(number, text="x" * size))
        else:
            await history.clear(conversation)
        assert history._bytes == held_bytes(history) <= 8_000


async def test_a_page_of_very_many_conversations_takes_no_longer_than_one_of_few() -> None:
    history = MemoryHistory(limit=LIMIT, max_bytes=2**30)
    for number in range(MANY):
        await history.append(Conversation("alice", f"c{number}"), turn(number))
        if number % 2:
            await history.append(Conversation("bob", f"c{number}"), turn(number))
    took: list[float] = []
    page: Sequence[ConversationInfo] = ()
    for _ in range(5):
        began_s = thread_time()
        page = await history.conversations("bob", limit=100, after=f"c{MANY // 2 + 1}")
        took.append(thread_time() - began_s)

    assert page[0].id == f"c{MANY // 2 - 1}"
    assert len(page) == 100
    assert min(took) < 0.01
