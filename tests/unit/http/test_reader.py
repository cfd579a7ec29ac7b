from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.http.bounds import Bounds
from tokenfall.http.head import HeadParser
from tokenfall.http.reader import BODY, HEAD, IDLE, RequestReader
from tokenfall.http.request import Refusal, Request

from tests.doubles.pieces import Cut, cut, one_by_one, whole

BOUNDS = Bounds(max_body_bytes=100)
GET = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\n"


def reader() -> RequestReader:
    return RequestReader(HeadParser(BOUNDS), BOUNDS)


def summary(request: Request) -> tuple[str, str, bytes, bytes]:
    return request.method, request.path, request.query_string, request.body


def requests_of(pieces: Iterable[bytes]) -> list[tuple[str, str, bytes, bytes]]:
    reading = reader()
    found = []
    for piece in pieces:
        reading.feed(piece)
        while (request := reading.next()) is not None:
            found.append(summary(request))
    return found


def refused(pieces: Iterable[bytes]) -> int:
    with pytest.raises(Refusal) as caught:
        requests_of(pieces)
    return caught.value.status


PIECES = {
    GET: ("GET", "/a", b"b", b""),
    b"\r\n" + GET: ("GET", "/a", b"b", b""),
    POST: ("POST", "/c", b"", b"hello"),
    CHUNKED: ("POST", "/d", b"", b"hi"),
}


@given(st.lists(st.sampled_from(list(PIECES)), max_size=5), st.lists(st.integers(min_value=0)))
def test_requests_parse_equally_at_once_byte_by_byte_or_split(requests: list[bytes], places: list[int]) -> None:
    data = b"".join(requests)
    expected = [PIECES[each] for each in requests]

    assert requests_of([data]) == expected
    assert requests_of(one_by_one(data)) == expected
    assert requests_of(cut(data, places)) == expected


def test_phase_follows_the_received_bytes() -> None:
    reading = reader()
    phases = [reading.phase]
    for piece in (b"POST /c HTTP/1.1\r\n", b"Host: a\r\nContent-Length: 2\r\n\r\n", b"h", b"i"):
        reading.feed(piece)
        reading.next()
        phases.append(reading.phase)

    assert phases == [IDLE, HEAD, BODY, BODY, IDLE]


def test_pipelined_bytes_stay_buffered() -> None:
    reading = reader()
    reading.feed(GET + GET + b"GET")
    reading.next()
    assert reading.unparsed_bytes == len(GET) + 3
    reading.next()
    assert reading.unparsed_bytes == 3
    assert reading.next() is None


def test_expect_continue_is_reported_once_and_only_before_the_body() -> None:
    head = b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    reading = reader()
    reading.feed(head)
    assert reading.next() is None
    assert (reading.take_expect_continue(), reading.take_expect_continue()) == (True, False)
    reading = reader()
    reading.feed(head + b"hi")
    assert reading.next() is not None
    assert not reading.take_expect_continue()


@pytest.mark.parametrize(
    ("data", "path"),
    [(b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", "/c"), (b"nonsense\r\n\r\n", None)],
    ids=["body", "head"],
)
def test_only_a_refused_body_keeps_its_request(data: bytes, path: str | None) -> None:
    reading = reader()
    reading.feed(data)
    with pytest.raises(Refusal):
        reading.next()

    assert (None if reading.request is None else reading.request.path) == path


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 60_000, 414),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 60_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 5_000, 431),
        (b"\x16\x03\x01", 400),
        (b"get", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\n", 400),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else None,
)
def test_incomplete_invalid_head_is_refused_early(feed: Cut, data: bytes, status: int) -> None:
    assert refused(feed(data)) == status


def test_first_byte_of_a_leading_empty_line_is_accepted() -> None:
    assert requests_of([b"\r", b"\n" + GET]) == [PIECES[GET]]


def test_unused_expect_continue_does_not_apply_to_the_next_request() -> None:
    reading = reader()
    reading.feed(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    assert reading.next() is not None
    reading.feed(b"POST /e HTTP/1.0\r\nContent-Length: 5\r\n\r\n")
    assert reading.next() is None

    assert not reading.take_expect_continue()
