import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.wire.json_lines import one_line


def test_what_is_ascii_stays_as_it_is() -> None:
    document = b'{"a":"b"}'

    assert one_line(document) is document


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029"])
def test_what_some_take_for_the_end_of_a_line_is_escaped(end: str) -> None:
    document = json.dumps(f"a{end}b é", ensure_ascii=False).encode()

    assert len(one_line(document).decode().splitlines()) == 1
    assert json.loads(one_line(document)) == f"a{end}b é"


@given(st.text())
def test_any_text_stays_the_same_text_in_one_line(text: str) -> None:
    document = one_line(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    assert len(document.decode("utf-8", "surrogatepass").splitlines()) == 1
    assert json.loads(document.decode("utf-8", "surrogatepass")) == text
