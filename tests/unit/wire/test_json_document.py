import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.wire.json_document import JSONDocument

from tests.doubles.growth import cpu_s
from tests.doubles.pieces import Cut, cut, one_by_one, whole

SMALL = st.none() | st.text(max_size=8) | st.integers()
VALUES = st.recursive(
    SMALL,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=3),
    max_leaves=6,
)


PLACES = st.lists(st.integers(min_value=0), max_size=8)


def found(pieces: list[bytes]) -> list[bytes]:
    document = JSONDocument()
    return [text for piece in pieces if (text := document.feed(piece)) is not None]


@given(
    st.lists(VALUES, max_size=3) | st.dictionaries(st.text(max_size=4), VALUES, max_size=3), PLACES, st.integers(0, 1)
)
def test_any_document_is_found_with_and_without_trailing_bytes(value: Any, places: list[int], indent: int) -> None:
    text = json.dumps(value, indent=indent or None, ensure_ascii=False).encode()
    tail = b'\n{"another":"]}"}'
    for pieces in ([text], one_by_one(text), cut(text, places), [text + tail], one_by_one(text + tail)):
        assert found(pieces) == [text]


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize("text", [b'{"a":"}', b'{"a":"\\"}', b'["\\\\\\"]', b"[[]", b'{"a":[}', b"[\\["])
def test_unfinished_document_is_not_found(feed: Cut, text: bytes) -> None:
    assert found(feed(text)) == []


def test_size_counts_the_fed_bytes() -> None:
    document = JSONDocument()
    document.feed(b"[1,")
    document.feed(b"2")

    assert document.size_bytes == 4


@pytest.mark.parametrize("text", ['"' + '\\"' * 100_000 + '"', '"",' * 100_000 + "1"])
def test_quotes_within_a_document_take_little_time(text: str) -> None:
    data = f"[{text}]".encode()

    assert cpu_s(lambda: JSONDocument().feed(data)) < 6 * cpu_s(lambda: json.loads(data))
