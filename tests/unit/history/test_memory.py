import tracemalloc
from collections.abc import Sequence
from sys import getsizeof
from time import thread_time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tokenfall.conversations import Conversation, ConversationInfo, Turn, Variant
from tokenfall.history.memory import (
    CONVERSATION_OVERHEAD_BYTES,
    TURN_OVERHEAD_BYTES,
    MemoryHistory,
    conversation_bytes,
    size_bytes,
)
from tokenfall.history.titles import title_of
from tokenfall.messages import Message

from tests.contracts.history import ALICE, BOB, LIMIT, HistoryContract, turn

ROOMY = 1_000_000
MANY = 100_000


class TestMemoryHistory(HistoryContract):
    @pytest.fixture
    def history(self) -> MemoryHistory:
        return MemoryHistory(limit=LIMIT, max_bytes=2 * ROOMY)


def small(turns: int, *, conversations: int = 2) -> MemoryHistory:
    """A history whose memory limit holds so many turns of `turn(number, text="xy")` in so many conversations."""
    max_bytes = turns * size_bytes(turn(0, text="xy")) + conversations * conversation_bytes("xy")
    return MemoryHistory(limit=100, max_bytes=max_bytes)


@pytest.mark.parametrize("text", ["a" * 9_000, "é" * 9_000, "ж" * 9_000, "ж" * 9_000 + "🙂"])
def test_size_of_a_turn_includes_encoded_texts(text: str) -> None:
    stored_turn = turn(1, text=text)
    msgspec.json.encode(stored_turn)
    size = getsizeof(stored_turn.question.content) + getsizeof(stored_turn.answer.content)

    assert size <= size_bytes(stored_turn) < 1.5 * size


def test_size_of_a_turn_includes_its_variants() -> None:
    variant = Variant(content="x" * 5_000, status="complete", model="sim", answered_at=1.5)

    assert size_bytes(replace(turn(1), variants=(variant,) * 3)) >= size_bytes(turn(1)) + 3 * 5_000


@pytest.mark.parametrize(("limit", "turns"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)])
async def test_message_limit_drops_complete_turns(limit: int, turns: int) -> None:
    history = MemoryHistory(limit=limit, max_bytes=ROOMY)
    for number in range(4):
        await history.append(ALICE, turn(number))

    assert await history.turns(ALICE) == [turn(number) for number in range(4 - turns, 4)]


async def test_pin_is_removed_with_a_conversation_without_turns() -> None:
    history = small(2)
    await history.append(ALICE, turn(0, text="xy"))
    await history.pin(ALICE, True)
    for number in (1, 2):
        await history.append(BOB, turn(number, text="xy"))
    await history.append(ALICE, turn(3, text="xy"))

    assert [each.pinned for each in await history.conversations("alice")] == [False]


async def test_empty_turns_count_toward_the_limit() -> None:
    history = MemoryHistory(limit=2, max_bytes=20 * (TURN_OVERHEAD_BYTES + CONVERSATION_OVERHEAD_BYTES))
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


VARIANT = Variant(content="x", status="complete", model="m" * 200, answered_at=1.5)
SMALL = replace(turn(1), ttft_s=0.1234, tokens_per_s=12.34)
FILLINGS = {
    "one conversation": (1, SMALL, ""),
    "many conversations": (MANY, SMALL, ""),
    "long titles": (MANY, SMALL, "🙂" * 200),
    "long names of models": (MANY, replace(SMALL, model="é" * 200), ""),
    "variants": (2, replace(SMALL, variants=(VARIANT,) * 4), ""),
    "texts": (20, turn(1, text="x" * 10_000), ""),
}
"""Number of conversations, each turn, and the title of each conversation, "" for the default."""


@pytest.mark.parametrize("name", FILLINGS)
async def test_allocated_memory_stays_within_the_limit(name: str) -> None:
    conversations, filled, title = FILLINGS[name]
    history = MemoryHistory(limit=1_000_000, max_bytes=ROOMY)
    document = msgspec.json.encode(filled)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(3_000 if len(document) < 10_000 else 300):
            decoded = msgspec.json.decode(document, type=Turn)  # objects of its own, as of a request
            conversation = Conversation("", f"{number % conversations:064}")
            await history.append(conversation, replace(decoded, id=f"turn_{number:024}"))
            if title:
                await history.rename(conversation, title.encode().decode())
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert 0.4 * ROOMY < used < 1.1 * ROOMY


SIZES = st.one_of(st.integers(0, 2_000), st.just(20_000))  # the last one exceeds the limit alone
STEPS = st.lists(st.tuples(st.sampled_from(["append", "append", "append", "clear"]), st.sampled_from("abc"), SIZES))


NAIVE_BYTES = 8_000 + 3 * conversation_bytes("")


class NaiveHistory:
    """Oracle: recounts all bytes at each step. Conversations are ordered by last activity, oldest first."""

    def __init__(self) -> None:
        self.conversations: dict[str, list[Turn]] = {}
        self.titles: dict[str, str] = {}

    def append(self, name: str, added: Turn) -> None:
        if name not in self.conversations:
            self.titles[name] = title_of(added)
        self.conversations[name] = [*self.conversations.pop(name, []), added][-3:]
        while self.size_bytes() > NAIVE_BYTES and sum(map(len, self.conversations.values())) > 1:
            oldest = next(iter(self.conversations))
            del self.conversations[oldest][0]
            if not self.conversations[oldest]:
                del self.conversations[oldest]

    def size_bytes(self) -> int:
        turns = sum(size_bytes(each) for turns in self.conversations.values() for each in turns)
        return turns + sum(conversation_bytes(self.titles[name]) for name in self.conversations)


@given(STEPS)
async def test_turns_are_dropped_exactly_when_the_stored_bytes_exceed_the_limit(
    steps: list[tuple[str, str, int]],
) -> None:
    history, naive = MemoryHistory(limit=6, max_bytes=NAIVE_BYTES), NaiveHistory()
    for number, (step, name, size) in enumerate(steps):
        if step == "append":
            await history.append(Conversation("", name), turn(number, text="x" * size))
            naive.append(name, turn(number, text="x" * size))
        else:
            await history.clear(Conversation("", name))
            naive.conversations.pop(name, None)
        assert {name: await history.turns(Conversation("", name)) for name in "abc"} == {
            name: naive.conversations.get(name) for name in "abc"
        }
        assert {each.id for each in await history.conversations("")} == naive.conversations.keys()


@pytest.mark.slow
async def test_page_takes_equally_long_with_many_conversations() -> None:
    history = MemoryHistory(limit=LIMIT, max_bytes=2**30)
    for number in range(MANY):
        await history.append(Conversation("alice", f"c{number}"), turn(number))
        if number % 2:
            await history.append(Conversation("bob", f"c{number}"), turn(number))
    took_s: list[float] = []
    page: Sequence[ConversationInfo] = ()
    for _ in range(5):
        began_s = thread_time()
        page = await history.conversations("bob", limit=100, after=f"c{MANY // 2 + 1}")
        took_s.append(thread_time() - began_s)

    assert page[0].id == f"c{MANY // 2 - 1}"
    assert len(page) == 100
    assert min(took_s) < 0.01
