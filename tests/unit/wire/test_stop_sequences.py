import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.wire.stop_sequences import StopSequences

from tests.doubles.pieces import one_by_one, whole

LETTERS = st.text("ab", max_size=12)


def emitted(stops: list[str], pieces: list[str]) -> tuple[str, str]:
    """The emitted text, and the stop sequence found."""
    texts = StopSequences(stops)
    text = "".join(map(texts.add, pieces))
    return text + texts.end(), texts.found


@pytest.mark.parametrize(
    ("stops", "text", "expected"),
    [
        (["END"], "one END two", ("one ", "END")),
        (["END"], "one EN", ("one EN", "")),
        (["END", "o"], "no END", ("n", "o")),
        (["aab"], "aaab", ("a", "aab")),
        (["xx", "x"], "axxb", ("a", "x")),
        (["a"], "", ("", "")),
    ],
)
@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_text_ends_before_the_first_stop_text(
    feed: object, stops: list[str], text: str, expected: tuple[str, str]
) -> None:
    pieces = [text] if feed is whole else list(text)

    assert emitted(stops, pieces)[0] == expected[0]
    assert bool(emitted(stops, pieces)[1]) == bool(expected[1])


@given(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=4), st.lists(LETTERS))
def test_stop_text_is_found_with_any_split(stops: list[str], pieces: list[str]) -> None:
    text = "".join(pieces)
    cut, found = emitted(stops, pieces)

    assert text.startswith(cut)
    assert not any(stop in cut for stop in stops)
    assert (found != "") == any(stop in text for stop in stops)


def test_text_after_the_stop_text_is_dropped() -> None:
    texts = StopSequences(["x"])

    assert (texts.add("ax"), texts.add("b"), texts.end()) == ("a", "", "")
