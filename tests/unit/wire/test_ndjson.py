import pytest

from tokenfall.wire import ndjson


def test_frame_is_one_line() -> None:
    assert ndjson.frame(b'{"a":1}') == b'{"a":1}\n'


def test_document_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        ndjson.frame(b'{\n"a":1}')
