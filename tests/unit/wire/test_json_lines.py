import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.wire.json_lines import one_line


def test_ascii_document_is_unchanged() -> None:
    document = b'{"a":"b"}'

    assert one_line(document) is document


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029"])
def test_unicode_line_separators_are_escaped(end: str) -> None:
    document = json.dumps(f"a{end}b é", ensure_ascii=False).encode()

    assert len(one_line(document).decode().splitlines()) == 1
    assert json.loads(one_line(document)) == f"a{end}b é"


@given(st.text())
def test_any_text_round_trips_in_one_line(text: str) -> None:
    document = one_line(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    assert len(document.decode("utf-8", "surrogatepass").splitlines()) == 1
    assert json.loads(document.decode("utf-8", "surrogatepass")) == text
