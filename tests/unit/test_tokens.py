from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.slicing.computation import at_once
from tokenfall.tokens import SLICE_CHARACTERS, SLICE_TOKENS, count_tokens, counted, repeat_text, token_slices, tokens_of

from tests.doubles.growth import cpu_s


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
def test_token_is_a_word_with_its_preceding_space(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens
    assert count_tokens(text) == len(tokens)


@given(st.text(alphabet=st.sampled_from("ab \n\t\u2003\x1c\x85é")) | st.text())
def test_tokens_join_to_the_text_and_match_the_count(text: str) -> None:
    tokens = tokens_of(text)

    assert "".join(tokens) == (text if text.strip() else "")
    assert len(tokens) == count_tokens(text) == at_once(counted(iter((text,))))


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_slices_of_tokens_are_bounded_and_the_last_has_the_trailing_space(beyond: int) -> None:
    words = SLICE_TOKENS + beyond
    slices = list(token_slices("a " * words))

    assert [len(each) for each in slices] == ([SLICE_TOKENS, 1] if beyond == 1 else [words])
    assert slices[-1][-1] == " a "


@pytest.mark.parametrize("at", [-2, -1, 0, 1])
@pytest.mark.parametrize("gap", ["", " ", "  "])
def test_word_across_two_slices_is_counted_once(at: int, gap: str) -> None:
    text = "a" * (SLICE_CHARACTERS + at) + gap + "b" * 5

    assert at_once(counted(iter((text,)))) == len(text.split())


def test_number_of_counting_slices_follows_the_text_size() -> None:
    work = counted(repeat("a" * (SLICE_CHARACTERS // 2), 6))

    assert [next(work) for _ in range(3)] == [None] * 3
    assert at_once(work) == 6


@pytest.mark.parametrize("text", [" ", "a", "a ", "\n\ta", "  a"])
@pytest.mark.slow
def test_tokenizing_a_megabyte_takes_linear_time(text: str) -> None:
    megabyte = text * (1_000_000 // len(text))

    assert cpu_s(lambda: tokens_of(megabyte)) < 2
    assert cpu_s(lambda: tokens_of(megabyte + "b")) < 2


@given(st.text(alphabet="ab \n", min_size=1).filter(str.strip), st.integers(0, 40), st.integers(0, 40))
def test_cut_text_repeats_the_tokens(text: str, count: int, at: int) -> None:
    once = tokens_of(text)
    again = [token if token[0].isspace() else f" {token}" for token in once]
    expected = [*once, *again * 40][:count]
    repeated = at_once(repeat_text(text, count))

    assert len(repeated) == count
    assert [*repeated] == [repeated[place] for place in range(count)] == expected
    assert [*repeated[:at]] == expected[:at]
    assert [*repeated[at:]] == expected[at:]


def test_long_text_is_cut_in_slices_and_only_as_far_as_needed() -> None:
    text = "a " * (3 * SLICE_TOKENS)

    assert sum(1 for _ in repeat_text(text, 3 * SLICE_TOKENS)) == 2
    assert sum(1 for _ in repeat_text(text, 1)) == 0
