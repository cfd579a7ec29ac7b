import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.simulator.stops import truncate_at_stop
from tokenfall.slicing.computation import at_once
from tokenfall.tokens import SLICE_CHARACTERS, tokens_of


def truncated_at_stop(question: str, *stops: str) -> tuple[list[str], str]:
    """The tokens before the first stop text, and that stop text."""
    tokens, stop = at_once(truncate_at_stop(tokens_of(question), stops))
    return list(tokens), stop


@pytest.mark.parametrize("offset", [-3, -2, -1, 0, 1])
def test_stop_text_is_found_across_two_windows(offset: int) -> None:
    words = SLICE_CHARACTERS // 2 + offset  # each is two characters

    assert truncated_at_stop("a " * words + "b c d", "b c", "zzzzzz") == (tokens_of("a " * words), "b c")


def test_earliest_stop_text_wins_regardless_of_length() -> None:
    before = "a " * (SLICE_CHARACTERS // 2)
    long = "b " * 1000 + "c"

    assert truncated_at_stop(before + long + " d", long, "b b b c") == (tokens_of(before), long)


@given(st.text(alphabet="ab ", max_size=60), st.lists(st.text(alphabet="ab ", min_size=1, max_size=5), max_size=4))
def test_text_before_the_stop_has_unchanged_tokens(text: str, stops: list[str]) -> None:
    text = f"a{text}"
    found = min(((text.find(stop), stop) for stop in stops if stop in text), default=None)

    assert truncated_at_stop(text, *stops) == (
        tokens_of(text if found is None else text[: found[0]]),
        found[1] if found else "",
    )


def test_long_text_is_searched_in_slices() -> None:
    work = truncate_at_stop(["a "] * SLICE_CHARACTERS, ("b", "c"))

    assert sum(1 for _ in work) > 3
