from contextlib import nullcontext

import pytest

from tokenfall.http.body import body_reader
from tokenfall.http.bounds import Bounds
from tokenfall.http.head import MAX_CACHED, MAX_CACHED_BYTES, HeadParser
from tokenfall.http.request import Refusal

NEXT = b"GET /next?a=b HTTP/1.1\r\nHost: next\r\n\r\n"
"""A valid request of another connection: one parser serves all connections."""


def head(line: str = "GET / HTTP/1.1", *fields: str, host: str | None = "a") -> bytes:
    lines = [line, *([] if host is None else [f"Host: {host}"]), *fields]
    return "".join(f"{each}\r\n" for each in lines).encode("latin-1") + b"\r\n"


@pytest.fixture
def parser() -> HeadParser:
    return HeadParser(Bounds())


def refused(parser: HeadParser, data: bytes) -> int:
    """The status with which a head or its declared body is refused."""
    with pytest.raises(Refusal) as caught:
        body_reader(parser.parse(data), 1_000_000)
    return caught.value.status


def serves_the_next(parser: HeadParser) -> bool:
    """Whether the parser still parses the following requests."""
    for number in range(3):
        request = parser.parse(NEXT.replace(b"Host: next", b"Host: next%d" % number))
        if (request.method, request.path, request.query_string) != ("GET", "/next", b"a=b"):
            return False
    return True


# Valid heads


def test_request_line_and_headers_are_parsed(parser: HeadParser) -> None:
    request = parser.parse(head("POST /chat?a=b&c HTTP/1.1", "X-Api-Key: k", "Content-Length: 5"))

    assert (request.method, request.path, request.query_string) == ("POST", "/chat", b"a=b&c")
    assert request.headers == {b"host": b"a", b"x-api-key": b"k", b"content-length": b"5"}
    assert (request.http_minor, request.keep_alive) == (1, True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH", "TRACE"])
def test_method_is_parsed(parser: HeadParser, method: str) -> None:
    assert parser.parse(head(f"{method} / HTTP/1.1")).method == method


def test_names_are_lower_case_and_repeated_fields_are_joined(parser: HeadParser) -> None:
    request = parser.parse(head("GET / HTTP/1.1", "ACCEPT: a", "accept: b", "Empty:", "High: \xff"))

    assert request.headers == {b"host": b"a", b"accept": b"a, b", b"empty": b"", b"high": b"\xff"}


@pytest.mark.parametrize("space", [" ", "\t", "  \t "])
def test_white_space_around_a_value_is_stripped(parser: HeadParser, space: str) -> None:
    fields = f"X-Api-Key:{space}k{space}", f"Content-Length:{space}5{space}"
    request = parser.parse(head("POST / HTTP/1.1", f"Host:{space}a{space}", *fields, host=None))

    assert request.headers == {b"host": b"a", b"x-api-key": b"k", b"content-length": b"5"}


@pytest.mark.parametrize(
    ("line", "fields", "keeps"),
    [
        ("GET / HTTP/1.1", (), True),
        ("GET / HTTP/1.1", ("Connection: close",), False),
        ("GET / HTTP/1.1", ("Connection: keep-alive, Close",), False),
        ("GET / HTTP/1.1", ("Connection: keep-alive", "Connection: close"), False),
        ("GET / HTTP/1.1", ("Connection: te",), True),
        ("GET / HTTP/1.0", (), False),
        ("GET / HTTP/1.0", ("Connection: Keep-Alive",), True),
        ("GET / HTTP/1.0", ("Connection: keep-alive, close",), False),
    ],
)
def test_keep_alive_follows_version_and_connection_header(
    parser: HeadParser, line: str, fields: tuple[str, ...], keeps: bool
) -> None:
    assert parser.parse(head(line, *fields)).keep_alive is keeps


def test_http_1_0_needs_no_host(parser: HeadParser) -> None:
    request = parser.parse(head("GET /x HTTP/1.0", host=None))

    assert (request.path, request.http_minor) == ("/x", 0)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://a/b?c=d", "/b", b"c=d"),
        ("HTTPS://a:80/b", "/b", b""),
        ("http://a", "/", b""),
        ("http://a?c", "/", b"c"),
        ("http://evil/a/http://b", "/a/http://b", b""),
    ],
)
def test_absolute_form_is_reduced_to_its_path(parser: HeadParser, target: str, path: str, query: bytes) -> None:
    request = parser.parse(head(f"GET {target} HTTP/1.1"))

    assert (request.path, request.query_string) == (path, query)


def test_options_accepts_the_asterisk_form(parser: HeadParser) -> None:
    assert parser.parse(head("OPTIONS * HTTP/1.1")).path == "*"


@pytest.mark.parametrize("host", ["a", "a.b:80", "[::1]:8080", "xn--a", "", "a_b"])
def test_any_authority_is_a_valid_host(parser: HeadParser, host: str) -> None:
    assert parser.parse(head(host=host)).headers[b"host"] == host.encode()


@pytest.mark.parametrize(
    "fields",
    [("Connection: Upgrade", "Upgrade: websocket"), ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")],
)
def test_upgrade_header_is_ignored(parser: HeadParser, fields: tuple[str, ...]) -> None:
    request = parser.parse(head("GET /x HTTP/1.1", *fields))

    assert (request.path, request.keep_alive) == ("/x", True)
    assert serves_the_next(parser)


# Refused heads


@pytest.mark.parametrize(
    "data",
    [
        head("GET / HTTP/1.1", host=None),
        head("GET / HTTP/1.1", "Host: a"),
        head("GET / HTTP/1.1", "Host: b"),
        head(host="a b"),
        head(host="a/b"),
        head(host="a@b"),
        head(host="\xe9"),
        b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        head("GET / HTTP/1.1", "X: a", " folded"),
        head("GET / HTTP/1.1", "X: a", "\tfolded"),
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        head("GET / HTTP/1.1", "X : a"),
        head("GET / HTTP/1.1", "X\t: a"),
        head("GET / HTTP/1.1", "no colon"),
        head("GET / HTTP/1.1", ": no name"),
        head("GET / HTTP/1.1", "X@Y: a"),
        head("GET / HTTP/1.1", "X\xff: a"),
        head("GET / HTTP/1.1", "X: a\0b"),
        head("GET / HTTP/1.1", "X\0: a"),
        head("GET / HTTP/1.1", "X: \x01"),
        head("GET / HTTP/1.1", "X: \x7f"),
        head("POST / HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked"),
        head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 5"),
        head("POST / HTTP/1.1", "Content-Length: 5", "Content-Length: 5"),
        head("POST / HTTP/1.1", "Content-Length: 5", "Content-Length: 6"),
        head("POST / HTTP/1.1", "Content-Length: 5, 5"),
        head("POST / HTTP/1.1", "Content-Length: +5"),
        head("POST / HTTP/1.1", "Content-Length: -5"),
        head("POST / HTTP/1.1", "Content-Length: 0x5"),
        head("POST / HTTP/1.1", "Content-Length: 1_0"),
        head("POST / HTTP/1.1", "Content-Length: 5.0"),
        head("POST / HTTP/1.1", "Content-Length:"),
        head("POST / HTTP/1.1", "Content-Length: " + "9" * 40),
        head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        head("POST / HTTP/1.1", "Transfer-Encoding: chunked, identity"),
        head("POST / HTTP/1.1", "Transfer-Encoding: \x0bchunked"),
        head("GET / HTTP/1.1", "Authorization: a", "Authorization: b"),
        head("GET / HTTP/1.1", "Content-Type: a", "Content-Type: b"),
        head("GET  / HTTP/1.1"),
        head("GET /  HTTP/1.1"),
        head("GET / HTTP/1.1 "),
        head("GET\t/ HTTP/1.1"),
        head("GET / x HTTP/1.1"),
        head(" GET / HTTP/1.1"),
        head("GET / http/1.1"),
        head("GET / HTTP/1.10"),
        head("GET / HTTP/1"),
        head("GET / ICE/1.0"),
        head("get / HTTP/1.1"),
        head("NONSENSE / HTTP/1.1"),
        head("GET x HTTP/1.1"),
        head("GET * HTTP/1.1"),
        head("GET //a\\b#c HTTP/1.1"),
        head("GET /a#b HTTP/1.1"),
        head("GET http://a/b#c HTTP/1.1"),
        head("GET ftp://a/ HTTP/1.1"),
        head("GET http:///x HTTP/1.1"),
        head("GET http://a/\xff HTTP/1.1"),
        head("GET /\xff HTTP/1.1"),
        head("GET /\x01 HTTP/1.1"),
        head("GET /\0 HTTP/1.1"),
        head("GET /\x7f HTTP/1.1"),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=repr,
)
def test_malformed_head_is_refused(parser: HeadParser, data: bytes) -> None:
    assert refused(parser, data) == 400
    assert serves_the_next(parser)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("CONNECT a:80 HTTP/1.1"), 405),
        (head("GET / HTTP/0.9"), 505),
        (head("GET /"), 505),
        (head("GET / HTTP/2.0"), 505),
        (head("PRI * HTTP/2.0"), 505),
        (head("PRI * HTTP/2.0", host=None), 505),
    ],
    ids=repr,
)
def test_other_methods_and_versions_are_refused(parser: HeadParser, data: bytes, status: int) -> None:
    assert refused(parser, data) == status
    assert serves_the_next(parser)


def test_blank_lines_only_are_refused(parser: HeadParser) -> None:
    parser.parse(head())

    assert refused(parser, b"\r\n\r\n") in {400, 505}
    assert serves_the_next(parser)


def test_too_many_fields_are_refused(parser: HeadParser) -> None:
    most = [f"X-{number}: a" for number in range(Bounds().max_headers - 1)]
    assert len(parser.parse(head("GET / HTTP/1.1", *most)).headers) == Bounds().max_headers

    assert refused(parser, head("GET / HTTP/1.1", *most, "Y: a")) == 431
    assert serves_the_next(parser)


def test_repeated_fields_count_towards_the_limit(parser: HeadParser) -> None:
    assert refused(parser, head("GET / HTTP/1.1", *["X: a"] * Bounds().max_headers)) == 431


# Reuse of the parser


@pytest.mark.parametrize(
    ("data", "is_refused"),
    [
        (head("GET / HTTP/1.1", "Connection: close"), False),
        (head("GET / HTTP/1.0"), False),
        (head("POST / HTTP/1.1", "Content-Length: 1000"), False),
        (head("POST / HTTP/1.1", "Content-Length: 1000", "Connection: close"), False),
        (head("POST / HTTP/1.1", "Transfer-Encoding: chunked"), False),
        (head("GET / HTTP/1.1", "Expect: 100-continue"), False),
        (head("POST / HTTP/1.1", "Content-Length: 1000", host=None), True),
        (head("POST / HTTP/1.1", "Transfer-Encoding: chunked", host=None), True),
        (head("POST / HTTP/1.1", "Content-Length: 1000", host="a b"), True),
        (head("POST  / HTTP/1.1", "Content-Length: 1000"), True),
        (head("POST / HTTP/0.9", "Content-Length: 1000"), True),
        (head("POST /a#b HTTP/1.1", "Content-Length: 1000"), True),
        (head("CONNECT a:80 HTTP/1.1", "Content-Length: 1000"), True),
    ],
    ids=repr,
)
def test_head_does_not_affect_the_next(parser: HeadParser, data: bytes, is_refused: bool) -> None:
    with pytest.raises(Refusal) if is_refused else nullcontext():
        parser.parse(data)

    assert serves_the_next(parser)


# Cache of parsed heads


def test_repeated_head_returns_a_new_request(parser: HeadParser) -> None:
    data = head("GET /x?a=b HTTP/1.1", "Connection: close", "Accept: a")
    first = parser.parse(data)
    first.id, first.route, first.client, first.body = "1", "/x", "10.0.0.1", b"body"
    first.response_headers += b"x: y\r\n"
    first.keep_alive = True
    first.drop_content()
    again = parser.parse(data)

    assert (again.method, again.path, again.query_string, again.http_minor) == ("GET", "/x", b"a=b", 1)
    assert again.headers == {b"host": b"a", b"connection": b"close", b"accept": b"a"}
    assert (again.keep_alive, again.body, again.response_headers) == (False, b"", b"")
    assert (again.id, again.route, again.client, again.started_s) == ("", "", "", 0.0)


@pytest.mark.parametrize(
    "field",
    [
        "Authorization: Bearer s3cret",
        "X-API-Key: s3cret",
        "Cookie: s3cret",
        "Content-Length: 3",
        "Expect: 100-continue",
    ],
)
def test_heads_with_secrets_or_bodies_are_not_cached(parser: HeadParser, field: str) -> None:
    secret = head("POST / HTTP/1.1", field)
    parser.parse(secret)

    assert parser.cached(secret) is None


def test_head_cache_is_bounded_in_entries_and_size(parser: HeadParser) -> None:
    heads = [head(f"GET /{number} HTTP/1.1") for number in range(3 * MAX_CACHED)]
    for each in heads:
        parser.parse(each)
        assert parser.cached(each) is not None
        assert sum(parser.cached(other) is not None for other in heads) <= MAX_CACHED
    large = head("GET / HTTP/1.1", "X: " + "x" * MAX_CACHED_BYTES)
    parser.parse(large)

    assert parser.cached(large) is None
