from sys import getsizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.turns.response_buffer import INDEXED, ResponseBuffer

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=5)
PIECES = st.lists(ANY_TEXT, max_size=20)


def buffer_of(pieces: list[str]) -> ResponseBuffer:
    buffer = ResponseBuffer()
    for piece in pieces:
        buffer.add(piece)
    return buffer


@given(PIECES)
def test_since_returns_the_later_chunks_unchanged(pieces: list[str]) -> None:
    buffer = buffer_of(pieces)

    for position in range(len(pieces) + 2):
        assert buffer.since(position) == pieces[position:]


@given(PIECES)
def test_text_is_the_joined_chunks_and_length_their_number(pieces: list[str]) -> None:
    buffer = buffer_of(pieces)

    assert buffer.text() == "".join(pieces)
    assert len(buffer) == len(pieces)


@pytest.mark.parametrize("number", [INDEXED * times + more for times in (1, 3) for more in (-1, 0, 1)])
def test_no_chunk_is_lost_at_an_index_entry(number: int) -> None:
    pieces = [f"<{at}>" for at in range(number)]
    buffer = buffer_of(pieces)

    for position in range(number + 1):
        assert buffer.since(position) == pieces[position:]


@pytest.mark.parametrize(("max_bytes", "expected"), [(1, 1), (10, 1), (11, 2), (1_000, 3)])
def test_chunks_end_with_the_one_that_reaches_the_maximum_of_bytes(max_bytes: int, expected: int) -> None:
    buffer = buffer_of(["ab", "é" * 5, "x" * 10, "y"])

    assert len(buffer.since(1, max_bytes=max_bytes)) == expected


def test_returned_chunks_are_a_copy() -> None:
    buffer = buffer_of(["a", "b"])
    buffer.since(0).append("c")

    assert buffer.since(0) == ["a", "b"]


def test_surrogate_halves_in_two_chunks_are_unchanged() -> None:
    buffer = buffer_of(["\ud83d", "\ude00"])

    assert buffer.since(0) == ["\ud83d", "\ude00"]
    assert buffer.text() == "\ud83d\ude00"


@given(PIECES)
def test_size_is_at_least_that_of_the_text_in_utf_8(pieces: list[str]) -> None:
    assert buffer_of(pieces).size_bytes() >= len("".join(pieces).encode("utf-8", "surrogatepass"))


def test_short_chunk_takes_less_memory_than_a_string() -> None:
    pieces = [f"{number:>5}" for number in range(1_000)]

    assert buffer_of(pieces).size_bytes() < sum(map(getsizeof, pieces)) / 4


@given(st.lists(st.sampled_from(["a", "é" * 255, "b" * 255, "b" * 256, "c" * 70_000]), max_size=10))
def test_chunks_over_255_bytes_are_unchanged(pieces: list[str]) -> None:
    buffer = buffer_of(pieces)

    assert buffer.since(0) == pieces
    assert buffer.text() == "".join(pieces)


@pytest.mark.parametrize("position", [0, 1, INDEXED - 1, INDEXED, 3 * INDEXED + 2])
@pytest.mark.parametrize("most", [1, 3, INDEXED, 2 * INDEXED + 1, 10_000])
def test_since_returns_at_most_the_requested_number(position: int, most: int) -> None:
    pieces = [f"{number} " for number in range(5 * INDEXED + 3)]

    assert buffer_of(pieces).since(position, most) == pieces[position : position + most]
