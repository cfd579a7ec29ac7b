import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tokenfall.chat.context import context, estimated_tokens, turns_within
from tokenfall.conversations import Turn
from tokenfall.messages import Message

from tests.contracts.history import turn

SYSTEM = Message("system", "Be brief.")
QUESTION = Message("user", "And?")
TURNS = [turn(number) for number in (1, 2, 3)]


def context_texts(limit: int, *, system: Message | None = None) -> list[str]:
    return [message.content for message in context(TURNS, QUESTION, system=system, limit=limit)]


@pytest.mark.parametrize(
    ("limit", "numbers"), [(0, []), (1, []), (2, [3]), (3, [3]), (4, [2, 3]), (6, [1, 2, 3]), (100, [1, 2, 3])]
)
def test_context_has_the_newest_complete_turns_and_the_question(limit: int, numbers: list[int]) -> None:
    turns = [text for number in numbers for text in (f"question {number}", f"answer {number}")]

    assert context_texts(limit) == [*turns, "And?"]


def test_system_message_is_first_and_not_counted_in_the_limit() -> None:
    assert context_texts(2, system=SYSTEM) == ["Be brief.", "question 3", "answer 3", "And?"]


def test_context_of_the_first_question_is_the_question() -> None:
    assert context([], QUESTION, system=None, limit=20) == (QUESTION,)


@pytest.mark.parametrize(("messages", "turns"), [(0, 0), (1, 0), (2, 1), (3, 1), (20, 10)])
def test_number_of_turns_depends_on_the_message_limit(messages: int, turns: int) -> None:
    assert turns_within(messages) == turns


# Token budget


def sized(number: int, *, question: int, answer: int) -> Turn:
    return replace(turn(number), question=Message("user", "q" * question), answer=Message("assistant", "a" * answer))


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 4), ("a", 5), ("abcd", 5), ("abcde", 6), ("éé", 5), ("😀😀", 6), ("\ud800", 5)]
)
def test_estimated_tokens_are_a_constant_and_one_per_four_bytes(text: str, tokens: int) -> None:
    assert estimated_tokens(Message("user", text)) == tokens


@pytest.mark.parametrize(
    ("budget", "numbers"),
    [(0, []), (5, []), (17, []), (18, [3]), (30, [3]), (31, [2, 3]), (43, [2, 3]), (44, [1, 2, 3]), (999, [1, 2, 3])],
)
def test_context_is_the_newest_complete_turns_within_the_budget(budget: int, numbers: list[int]) -> None:
    turns = [text for number in numbers for text in (f"question {number}", f"answer {number}")]
    sent = context(TURNS, QUESTION, system=None, limit=100, max_tokens=budget)

    assert [message.content for message in sent] == [*turns, "And?"]


def test_context_ends_at_the_first_turn_that_does_not_fit() -> None:
    turns = [sized(1, question=1, answer=1), sized(2, question=1, answer=1_000), sized(3, question=1, answer=1)]
    sent = context(turns, QUESTION, system=None, limit=100, max_tokens=100)

    assert sent == (turns[2].question, turns[2].answer, QUESTION)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8),
    st.booleans(),
    st.integers(0, 10),
    st.integers(0, 200),
)
def test_context_within_any_budget_is_the_newest_complete_turns(
    sizes: list[tuple[int, int]], with_system: bool, limit: int, budget: int
) -> None:
    turns = [sized(number, question=question, answer=answer) for number, (question, answer) in enumerate(sizes)]
    fixed = (*([SYSTEM] if with_system else []), QUESTION)
    sent = context(turns, QUESTION, system=SYSTEM if with_system else None, limit=limit, max_tokens=budget)
    every = [message for each in turns for message in (each.question, each.answer)]
    chosen = list(sent[len(fixed) - 1 : -1])

    assert (*sent[: len(fixed) - 1], sent[-1]) == fixed, "the system message and the question are always sent"
    assert len(chosen) % 2 == 0, "complete turns"
    assert chosen == every[len(every) - len(chosen) :], "the newest turns"
    assert len(chosen) <= limit
    if chosen:
        assert sum(map(estimated_tokens, sent)) <= budget
    more = every[len(every) - len(chosen) - 2 :][:2]
    if len(chosen) + 2 <= min(limit, len(every)):
        assert sum(map(estimated_tokens, (*sent, *more))) > budget, "as many turns as fit"
