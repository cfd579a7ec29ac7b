from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType

from tokenfall.wire.json_pieces import PIECE_BYTES, SLICE_CHARACTERS, json_pieces

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
@pytest.mark.slow
def test_pieces_equal_the_encoding_of_msgspec(document: object) -> None:
    assert b"".join(json_pieces(document)) == msgspec.json.encode(document)


@pytest.mark.parametrize("items", [[], [1], [{"a": 1}, "b", None]])
def test_iterator_is_an_array(items: list[object]) -> None:
    assert b"".join(json_pieces({"a": iter(items)})) == msgspec.json.encode({"a": items})


class Document(Struct):
    a: int | UnsetType = UNSET
    b: Iterable[object] = ()
    c: "Document | None" = None
    d: str = ""


@pytest.mark.parametrize(
    "document", [Document(), Document(1, [2, "é"], Document(b=[{}])), Document(d=3 * SLICE_CHARACTERS * "a")]
)
def test_struct_is_encoded_as_by_msgspec(document: Document) -> None:
    assert b"".join(json_pieces(document)) == msgspec.json.encode(document)
    assert b"".join(json_pieces([document])) == msgspec.json.encode([document])


def test_iterator_in_a_struct_is_an_array() -> None:
    assert b"".join(json_pieces(Document(b=iter([1, Document(1)])))) == msgspec.json.encode(
        Document(b=[1, Document(1)])
    )


@pytest.mark.parametrize("character", ["a", "\x01", '"', "é", "\U0001f600"])
def test_long_string_is_encoded_in_limited_pieces(character: str) -> None:
    text = character * (3 * SLICE_CHARACTERS + 1)
    pieces = list(json_pieces({"a": text, "b": 1}))

    assert b"".join(pieces) == msgspec.json.encode({"a": text, "b": 1})
    assert max(map(len, pieces)) <= 6 * SLICE_CHARACTERS + PIECE_BYTES


def test_many_small_values_are_grouped_in_pieces() -> None:
    pieces = list(json_pieces(list(range(PIECE_BYTES))))

    assert max(map(len, pieces)) < PIECE_BYTES + 10
    assert len(pieces) > 4
