import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.wire import ndjson


def test_frame_is_one_line() -> None:
    assert ndjson.frame(b'{"a":1}') == b'{"a":1}\n'


def test_document_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        ndjson.frame(b'{\n"a":1}')


@given(st.lists(st.text()))
def test_any_text_round_trips_line_by_line(texts: list[str]) -> None:
    stream = b"".join(ndjson.frame(msgspec.json.encode(text)) for text in texts)

    assert [json.loads(line) for line in stream.split(b"\n")[:-1]] == texts
