import pytest
from msgspec.structs import replace

from tokenfall.history.titles import MAX_TITLE_CHARACTERS, title_of
from tokenfall.messages import Message

from tests.contracts.history import turn


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("Why?", "Why?"),
        ("  two\n lines ", "two lines"),
        ("word " * 12, ("word " * 12).strip()),
        ("word " * 13, "word " * 10 + "word…"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
    ],
)
def test_title_is_the_beginning_of_the_question(question: str, title: str) -> None:
    first = replace(turn(1), question=Message("user", question))

    assert title_of(first) == title
    assert len(title) <= MAX_TITLE_CHARACTERS
