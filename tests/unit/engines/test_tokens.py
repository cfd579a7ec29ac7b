import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.engines.tokens import count_tokens, tokens_of


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \n", []),
        ("a", ["a"]),
        (" a\n b\t", [" a", "\n b\t"]),
        ('{"city": "Paris", "days": 2}', ['{"city":', ' "Paris",', ' "days":', " 2}"]),
    ],
)
def test_a_token_is_a_word_with_the_space_before_it(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens
    assert count_tokens(text) == len(tokens)


@given(st.text())
def test_the_tokens_are_the_text_and_are_counted(text: str) -> None:
    tokens = tokens_of(text)

    assert "".join(tokens) == (text if text.strip() else "")
    assert len(tokens) == count_tokens(text)
