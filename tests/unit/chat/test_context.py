import pytest

from tokenfall.chat.context import context, turns_within
from tokenfall.messages import Message

from tests.contracts.history import turn

SYSTEM = Message("system", "Be brief.")
QUESTION = Message("user", "And?")
TURNS = [turn(number) for number in (1, 2, 3)]


def said(limit: int, *, system: Message | None = None) -> list[str]:
    return [message.content for message in context(TURNS, QUESTION, system=system, limit=limit)]


@pytest.mark.parametrize(
    ("limit", "numbers"), [(0, []), (1, []), (2, [3]), (3, [3]), (4, [2, 3]), (6, [1, 2, 3]), (100, [1, 2, 3])]
)
def test_the_newest_whole_turns_and_the_question_are_sent(limit: int, numbers: list[int]) -> None:
    turns = [text for number in numbers for text in (f"question {number}", f"answer {number}")]

    assert said(limit) == [*turns, "And?"]


def test_the_system_message_comes_first_and_does_not_count() -> None:
    assert said(2, system=SYSTEM) == ["Be brief.", "question 3", "answer 3", "And?"]


def test_a_first_question_is_sent_alone() -> None:
    assert context([], QUESTION, system=None, limit=20) == (QUESTION,)


@pytest.mark.parametrize(("messages", "turns"), [(0, 0), (1, 0), (2, 1), (3, 1), (20, 10)])
def test_how_many_turns_fit(messages: int, turns: int) -> None:
    assert turns_within(messages) == turns
