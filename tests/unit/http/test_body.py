from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.http.body import MAX_CHUNK_LINE_BYTES, MAX_TRAILER_BYTES, BodyReader, ChunkedBody, FixedBody, body_reader
from tokenfall.http.request import Refusal

from tests.doubles.pieces import Cut, cut, one_by_one, whole
from tests.doubles.requests import request

TAIL = b"GET /next HTTP/1.1\r\n\r\n"


def parsed(reader: BodyReader, pieces: Iterable[bytes]) -> tuple[bytes, bytes] | None:
    """The body and the bytes after it, None if incomplete. Raises `Refusal`."""
    remainder: bytes | None = None
    for piece in pieces:
        remainder = reader.feed(piece) if remainder is None else remainder + piece
    return None if remainder is None else (reader.body(), remainder)


def refused(reader: BodyReader, pieces: Iterable[bytes]) -> int:
    with pytest.raises(Refusal) as caught:
        parsed(reader, pieces)
    return caught.value.status


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    encoded = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
    return encoded + b"0\r\n" + trailers + b"\r\n"


# Selection of the reader


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}, {"content-length": "000"}])
def test_request_without_a_body_has_no_body_reader(headers: dict[str, str]) -> None:
    assert body_reader(request(headers=headers), 10) is None


@pytest.mark.parametrize(
    ("headers", "reader"),
    [
        ({"content-length": "9"}, FixedBody),
        ({"content-length": "10"}, FixedBody),
        *(({"transfer-encoding": coding}, ChunkedBody) for coding in ("chunked", "Chunked", " CHUNKED ")),
    ],
)
def test_body_has_the_reader_of_its_framing(headers: dict[str, str], reader: type[BodyReader]) -> None:
    assert isinstance(body_reader(request(headers=headers), 10), reader)


LENGTHS = ("+5", "-1", "0x5", "1_0", "5.0", "", " ", "5, 5", "٣", "5 5", "1" * 19)


@pytest.mark.parametrize(
    ("headers", "http_minor", "status"),
    [
        *(({"content-length": length}, 1, 400) for length in LENGTHS),
        ({"content-length": "11"}, 1, 413),
        ({"content-length": "100"}, 1, 413),
        ({"transfer-encoding": "gzip, chunked"}, 1, 501),
        ({"transfer-encoding": "chunked, chunked"}, 1, 501),
        *(({"transfer-encoding": coding}, 1, 400) for coding in ("chunked, gzip", "gzip", "", "identity", "xchunked")),
        ({"transfer-encoding": "chunked", "content-length": "5"}, 1, 400),
        ({"transfer-encoding": "chunked"}, 0, 400),
    ],
)
def test_malformed_or_unsupported_framing_is_refused_before_the_body(
    headers: dict[str, str], http_minor: int, status: int
) -> None:
    incoming = request(headers=headers)
    incoming.http_minor = http_minor
    with pytest.raises(Refusal) as caught:
        body_reader(incoming, 10)

    assert caught.value.status == status


# Content-Length


@given(st.binary(min_size=1, max_size=60), st.lists(st.integers(min_value=0)))
def test_fixed_body_parses_at_once_byte_by_byte_and_with_trailing_bytes(body: bytes, places: list[int]) -> None:
    for pieces in ([body], one_by_one(body), cut(body, places)):
        assert parsed(FixedBody(len(body)), pieces) == (body, b"")
    for pieces in ([body + TAIL], one_by_one(body + TAIL), cut(body + TAIL, places)):
        assert parsed(FixedBody(len(body)), pieces) == (body, TAIL)
    assert parsed(FixedBody(len(body) + 1), [body]) is None


# Chunked coding


CHUNKS = st.lists(st.binary(min_size=1, max_size=30), max_size=6)
EXTENSIONS = st.sampled_from([b"", b"; ", b";a", b" ;a=b", b'\t; a="b c"', b";" + b"x" * 200])
TRAILERS = st.sampled_from([b"", b"Digest: x\r\n", b"a:\r\nb:\t c \r\n"])


@given(CHUNKS, EXTENSIONS, TRAILERS, st.lists(st.integers(min_value=0)))
def test_chunked_body_parses_at_once_byte_by_byte_and_with_trailing_bytes(
    chunks: list[bytes], extension: bytes, trailers: bytes, places: list[int]
) -> None:
    sized = [(b"%X" % len(each)).rjust(4, b"0") + extension + b"\r\n" + each + b"\r\n" for each in chunks]
    encoded = b"".join(sized) + b"00" + extension + b"\r\n" + trailers + b"\r\n"
    body = b"".join(chunks)
    for pieces in ([encoded], one_by_one(encoded), cut(encoded, places)):
        assert parsed(ChunkedBody(1_000), pieces) == (body, b"")
    for pieces in ([encoded + TAIL], one_by_one(encoded + TAIL), cut(encoded + TAIL, places)):
        assert parsed(ChunkedBody(1_000), pieces) == (body, TAIL)
    assert parsed(ChunkedBody(1_000), [encoded[:-1]]) is None


def outcome(pieces: Iterable[bytes]) -> object:
    try:
        return parsed(ChunkedBody(100), pieces)
    except Refusal:
        return "refused"


@given(
    CHUNKS,
    TRAILERS,
    st.lists(st.tuples(st.integers(min_value=0), st.sampled_from([b"", b"\r", b"\n", b"\0", b"0", b"g", b";", b":"]))),
    st.lists(st.integers(min_value=0)),
)
def test_mutated_body_parses_equally_wherever_it_is_split(
    chunks: list[bytes], trailers: bytes, mutations: list[tuple[int, bytes]], places: list[int]
) -> None:
    data = chunked(*chunks, trailers=trailers) + TAIL
    for place, byte in mutations:
        at = place % len(data)
        data = data[:at] + byte + data[at + 1 :]
    expected = outcome([data])

    assert outcome(one_by_one(data)) == expected
    assert outcome(cut(data, places)) == expected


WAYS = [whole, one_by_one]


@pytest.mark.parametrize("feed", WAYS)
@pytest.mark.parametrize("size", [99, 100])
def test_chunked_body_up_to_the_limit_is_accepted(feed: Cut, size: int) -> None:
    assert parsed(ChunkedBody(100), feed(chunked(b"x" * size))) == (b"x" * size, b"")
    assert parsed(ChunkedBody(100), feed(chunked(*[b"x"] * size))) == (b"x" * size, b"")


@pytest.mark.parametrize("feed", WAYS)
@pytest.mark.parametrize("size", [101, 1_000])
def test_chunked_body_over_the_limit_is_refused(feed: Cut, size: int) -> None:
    assert refused(ChunkedBody(100), feed(chunked(b"x" * size))) == 413
    assert refused(ChunkedBody(100), feed(chunked(*[b"x"] * size))) == 413


@pytest.mark.parametrize("size", [b"65", b"ffffffff", b"f" * 16])
def test_chunk_over_the_limit_is_refused_at_its_size_line(size: bytes) -> None:
    assert refused(ChunkedBody(100), [size + b"\r\n"]) == 413


@pytest.mark.parametrize("feed", WAYS)
@pytest.mark.parametrize(
    "encoded",
    [
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"0_5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"g\r\nhello\r\n",
        b"\r\nhello\r\n",
        b";a\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\r\r\nhello\r\n",
        b"5;\0\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;\x7f\r\nhello\r\n",
        b"0" * 17 + b"\r\n\r\n",
        b"5\r\nhelloworld\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n: no name\r\n\r\n",
        b"0\r\nspace : x\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\na\tb: x\r\n\r\n",
        b"0\r\na\0: x\r\n\r\n",
        b"0\r\na: \0\r\n\r\n",
        b"0\r\na: b\n\r\n",
        b"0\r\n\n",
    ],
)
def test_malformed_coding_is_refused(feed: Cut, encoded: bytes) -> None:
    assert refused(ChunkedBody(1_000), feed(encoded)) == 400


@pytest.mark.parametrize("feed", WAYS)
def test_chunk_size_line_over_the_limit_is_refused(feed: Cut) -> None:
    extension = b";" + b"x" * (MAX_CHUNK_LINE_BYTES - 2)
    assert parsed(ChunkedBody(100), feed(b"1%b\r\nx\r\n0\r\n\r\n" % extension)) == (b"x", b"")

    assert refused(ChunkedBody(100), feed(b"1%bx\r\nx\r\n0\r\n\r\n" % extension)) == 413


@pytest.mark.parametrize("line", [b"5;" + b"x" * 400, b"5" * 400])
def test_endless_size_line_is_refused_early(line: bytes) -> None:
    assert refused(ChunkedBody(1_000_000), [line]) == 413
    assert refused(ChunkedBody(1_000_000), one_by_one(line)) == 413


@pytest.mark.parametrize("feed", WAYS)
def test_trailers_over_the_limit_are_refused(feed: Cut) -> None:
    most = b"a: " + b"x" * (MAX_TRAILER_BYTES - 7) + b"\r\n"  # and the two bytes of the blank line
    assert parsed(ChunkedBody(100), feed(chunked(b"x", trailers=most))) == (b"x", b"")

    assert refused(ChunkedBody(100), feed(chunked(b"x", trailers=b"b" + most))) == 431
    assert refused(ChunkedBody(100), feed(chunked(b"x", trailers=b"a: b\r\n" * 2_000))) == 431


def test_endless_trailer_is_refused_early() -> None:
    reader = ChunkedBody(100)
    reader.feed(b"0\r\na: ")

    assert refused(reader, [b"x" * 1_000] * 9) == 431


@pytest.mark.parametrize("feed", WAYS)
def test_huge_extensions_of_tiny_chunks_are_refused(feed: Cut) -> None:
    tiny = b"1;" + b"x" * 250 + b"\r\nx\r\n"

    assert parsed(ChunkedBody(100), feed(tiny * 6 + b"0\r\n\r\n")) == (b"x" * 6, b"")
    assert refused(ChunkedBody(100), feed(tiny * 7)) == 413


def test_large_body_of_one_byte_chunks_is_accepted() -> None:
    encoded = chunked(*[b"x"] * 10_000)

    assert parsed(ChunkedBody(1_048_576), cut(encoded, range(0, len(encoded), 1_400))) == (b"x" * 10_000, b"")
