from sys import getsizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.turns.response_buffer import JOINED, ResponseBuffer

PIECES = st.lists(st.text(max_size=5), max_size=3 * JOINED + 2)


def said(pieces: list[str]) -> ResponseBuffer:
    made = ResponseBuffer()
    for piece in pieces:
        made.add(piece)
    return made


@given(PIECES)
def test_the_pieces_after_any_of_them_are_those_that_came(pieces: list[str]) -> None:
    made = said(pieces)

    for position in range(len(pieces) + 2):
        assert made.since(position) == pieces[position:]


@given(PIECES)
def test_the_text_is_all_of_them_and_the_length_their_number(pieces: list[str]) -> None:
    made = said(pieces)

    assert made.text() == "".join(pieces)
    assert len(made) == len(pieces)


@pytest.mark.parametrize("number", [JOINED - 1, JOINED, JOINED + 1, 2 * JOINED, 2 * JOINED + 1])
def test_no_piece_is_lost_at_the_boundary_of_joined_pieces(number: int) -> None:
    pieces = [f"<{at}>" for at in range(number)]
    made = said(pieces)

    for position in range(number + 1):
        assert made.since(position) == pieces[position:]


def test_returned_pieces_are_a_copy() -> None:
    made = said(["a", "b"])
    made.since(0).append("c")

    assert made.since(0) == ["a", "b"]


def test_its_size_is_that_of_its_strings_and_of_the_lengths() -> None:
    assert said([]).size_bytes() == 0
    assert said(["é", "\ud800"]).size_bytes() == getsizeof("é") + getsizeof("\ud800")
    assert said(["ab"] * JOINED).size_bytes() == getsizeof("ab" * JOINED) + 1 * JOINED
    assert said([*["ab"] * JOINED, "漢"]).size_bytes() == getsizeof("ab" * JOINED) + 1 * JOINED + getsizeof("漢")


@given(PIECES)
def test_its_size_is_never_less_than_that_of_its_text_in_utf_8(pieces: list[str]) -> None:
    assert said(pieces).size_bytes() >= len("".join(pieces).encode("utf-8", "surrogatepass"))


@given(st.lists(st.sampled_from(["a", "é" * 255, "b" * 256, "c" * 70_000]), max_size=2 * JOINED + 1))
def test_long_pieces_are_remembered_too(pieces: list[str]) -> None:
    made = said(pieces)

    assert made.since(0) == pieces
    assert made.text() == "".join(pieces)


@pytest.mark.parametrize("position", [0, 1, JOINED - 1, JOINED, 3 * JOINED + 2, 5 * JOINED + 1])
@pytest.mark.parametrize("most", [1, 3, JOINED, 2 * JOINED + 1, 1_000])
def test_no_more_pieces_than_wanted_are_cut(position: int, most: int) -> None:
    pieces = [f"{number} " for number in range(5 * JOINED + 3)]

    assert said(pieces).since(position, most) == pieces[position : position + most]
