from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.http.encoding import chunk, header_lines, phrase, status_line


def test_header_lines_end_with_cr_lf() -> None:
    assert header_lines((("a", "b"), ("C", "d e"))) == b"a: b\r\nC: d e\r\n"
    assert header_lines(()) == b""


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\r\n", "b\r\nset-cookie: c", "b\nc"])
@pytest.mark.parametrize("place", ["name", "value"])
def test_line_break_or_nul_in_a_header_is_refused(bad: str, place: str) -> None:
    header = (f"x{bad}", "y") if place == "name" else ("x", f"y{bad}")
    with pytest.raises(ValueError, match="line break or NUL"):
        header_lines((("a", "b"), header))


@given(st.text(), st.text())
def test_header_value_never_adds_a_line(name: str, value: str) -> None:
    try:
        lines = header_lines(((name, value),))
    except ValueError:
        assert set(name + value) & set("\r\n\0")
    else:
        assert lines.endswith(b"\r\n")
        assert not set(lines[:-2]) & set(b"\r\n\0")


def test_characters_outside_latin_1_are_replaced() -> None:
    assert header_lines((("a", "é→"),)) == b"a: \xe9?\r\n"


@pytest.mark.parametrize(
    ("status", "line"), [(200, b"HTTP/1.1 200 OK\r\n"), (431, b"HTTP/1.1 431 Request Header Fields Too Large\r\n")]
)
def test_status_line_has_version_status_and_phrase(status: int, line: bytes) -> None:
    assert status_line(status) == line


RENAMED = {413, 414, 416, 422}
"""Phrases of RFC 9110; the standard library has them since Python 3.13."""

NOT_SERVED = {418, 510}
"""418 is a joke, 510 an obsolete extension."""


@pytest.mark.parametrize("status", sorted({int(each) for each in HTTPStatus if each >= 400} - RENAMED - NOT_SERVED))
def test_every_error_has_its_registered_phrase(status: int) -> None:
    assert phrase(status) == HTTPStatus(status).phrase


@pytest.mark.parametrize("status", [299, 418, 529, 599])
def test_unregistered_status_has_a_phrase(status: int) -> None:
    assert phrase(status) == "Error"


@pytest.mark.parametrize(
    ("data", "coded"),
    [(b"x", b"1\r\nx\r\n"), (b"x" * 26, b"1a\r\n" + b"x" * 26 + b"\r\n"), (b"\r\n", b"2\r\n\r\n\r\n")],
)
def test_chunk_has_hexadecimal_size_and_crlf(data: bytes, coded: bytes) -> None:
    assert chunk(data) == coded
