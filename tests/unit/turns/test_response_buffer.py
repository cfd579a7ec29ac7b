from sys import getsizeof

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenfall.turns.response_buffer import INDEXED, ResponseBuffer

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=5)
LARGE = st.sampled_from(["é" * 255, "b" * 255, "b" * 256, "c" * 70_000])
PIECES = st.lists(st.one_of(ANY_TEXT, LARGE), max_size=20)


def buffer_of(pieces: list[str]) -> ResponseBuffer:
    buffer = ResponseBuffer()
    for piece in pieces:
        buffer.add(piece)
    return buffer


@given(PIECES)
@example(["\ud83d", "\ude00"])
def test_pieces_and_their_joined_text_are_unchanged(pieces: list[str]) -> None:
    buffer = buffer_of(pieces)

    for position in range(len(pieces) + 2):
        assert buffer.since(position) == pieces[position:]
    assert (buffer.text(), len(buffer)) == ("".join(pieces), len(pieces))


@pytest.mark.parametrize(("max_bytes", "expected"), [(1, 1), (10, 1), (11, 2), (1_000, 3)])
def test_pieces_end_with_the_one_that_reaches_the_maximum_of_bytes(max_bytes: int, expected: int) -> None:
    buffer = buffer_of(["ab", "é" * 5, "x" * 10, "y"])

    assert len(buffer.since(1, max_bytes=max_bytes)) == expected


@given(PIECES)
def test_size_is_at_least_that_of_the_text_in_utf_8(pieces: list[str]) -> None:
    assert buffer_of(pieces).size_bytes() >= len("".join(pieces).encode("utf-8", "surrogatepass"))


def test_short_piece_takes_less_memory_than_a_string() -> None:
    pieces = [f"{number:>5}" for number in range(1_000)]

    assert buffer_of(pieces).size_bytes() < sum(map(getsizeof, pieces)) / 4


@pytest.mark.parametrize("number", [INDEXED - 1, INDEXED, INDEXED + 1, 3 * INDEXED + 2])
@pytest.mark.parametrize("most", [1, INDEXED, 2 * INDEXED + 1, 10_000])
def test_since_returns_at_most_the_requested_number(number: int, most: int) -> None:
    pieces = [f"<{at}>" for at in range(number)]
    buffer = buffer_of(pieces)

    for position in range(number + 1):
        assert buffer.since(position, most) == pieces[position : position + most]
