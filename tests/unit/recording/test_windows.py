import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.recording import redaction, windows
from tokenfall.recording.redaction import Redactor

FRAGMENTS = [
    b'"', b"\\", b'\\"', b" ", b":", b'"password"', b'"name"', b'\\"password\\" : \\"', b": ", b"x" * 40,
    b"sk-", b"AIza", b"a" * 15, b"-", b"Bearer ", b"github_pat_", b"gsk_", b"=", b"secret-of-ours", b"secret-of",
    b",", b"sk-" + b"b" * 16,
]  # fmt: skip

sizes = st.integers(2, 80)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join), sizes)
def test_masking_in_windows_equals_masking_at_once(content: bytes, size: int) -> None:
    redactor = Redactor(["secret-of-ours"])
    whole = redactor.masked(content)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(windows, "WINDOW_BYTES", size)
        assert redactor.masked(content) == whole
    assert len(whole) == len(content)


@given(st.text("ab\\", max_size=20).map(str.encode), sizes)
def test_end_of_a_repetition_is_that_of_one_match(content: bytes, size: int) -> None:
    pattern = re.compile(rb"(?:[^b\\]++|\\.)*+")
    whole = pattern.match(content)
    assert whole is not None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(windows, "WINDOW_BYTES", size)
        assert windows.end_of_repetition(pattern, bytearray(content), at=0) == whole.end()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "password", "é"]), inner),
)


@given(json_values, st.integers(0, 4))
def test_document_cleaned_in_pieces_equals_that_cleaned_at_once(value: object, levels: int) -> None:
    content = msgspec.json.encode(value)
    whole = msgspec.json.encode(redaction.cleaned(content))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(redaction, "WINDOW_BYTES", 2)
        assert b"".join(redaction.cleaned_pieces(content, levels)) == whole
