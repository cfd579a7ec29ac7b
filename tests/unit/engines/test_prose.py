import pytest

from tokenfall.engines.prose import PARAGRAPH, WORDS, tokens
from tokenfall.engines.tokens import count_tokens


def test_the_tokens_of_the_paragraph_are_the_paragraph() -> None:
    assert "".join(tokens(len(WORDS))) == PARAGRAPH


@pytest.mark.parametrize("count", [0, 1, 7, 3 * len(WORDS) + 2])
def test_as_many_tokens_as_were_asked_for(count: int) -> None:
    said = list(tokens(count))

    assert len(said) == count
    assert count_tokens("".join(said)) == count


def test_the_paragraph_repeats() -> None:
    said = list(tokens(len(WORDS) + 1))

    assert (said[0], said[-1]) == (WORDS[0], f" {WORDS[0]}")
