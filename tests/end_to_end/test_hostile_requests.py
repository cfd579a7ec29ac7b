"""Ambiguous and invalid requests: refused with one response, and nothing after them is parsed.

Sources: FAULTS.md E4 and E10; RFC 9112, sections 2 to 7 and 11.
"""

import pytest

from tests.end_to_end.client import Client, request
from tests.end_to_end.in_process import running

CANARY = request("/version", X_Request_Id="canary")
LINE = b"POST /chat HTTP/1.1\r\n"
HOST = b"Host: test\r\n"
BODY = b'{"messages":[]}'
LENGTH = b"Content-Length: 15\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WHOLE = b"f\r\n" + BODY + b"\r\n0\r\n\r\n"


def lengths() -> list[bytes]:
    odd = (
        b"+15", b"-15", b"1_5", b"0xf", b"15.0", b"15,", b"15, 15", b"15, 16", b",15", b"", b" ", b"1 5", b"15 x",
        b"15;", b'"15"', b"\xb2", "१५".encode(), b"1" * 19, b"9" * 400, b"NaN", b"inf", b"0b1111", b"15\x00", b"1\x0b5",
    )  # fmt: skip
    return [LINE + HOST + b"Content-Length: " + value + b"\r\n\r\n" + BODY for value in odd]


def codings() -> list[bytes]:
    odd = (
        b"xchunked", b"chunked, chunked", b"chunked, identity", b"identity", b"identity, chunked", b"gzip, chunked",
        b"\x0bchunked", b"chunked\x00", b'"chunked"', b"chunked;q=1", b",chunked", b"chunked,", b"", b"chun ked",
        b"cow", b"chunked\x0c", b"[chunked]",
    )  # fmt: skip
    return [LINE + HOST + b"Transfer-Encoding: " + value + b"\r\n\r\n" + WHOLE for value in odd]


def both() -> list[bytes]:
    pairs = (
        LENGTH + CHUNKED, CHUNKED + LENGTH, LENGTH + b"Transfer-Encoding: identity\r\n", LENGTH + LENGTH,
        LENGTH + b"Content-Length: 16\r\n", CHUNKED + CHUNKED, LENGTH + b"content-length: 0\r\n",
        b"Transfer-Encoding: gzip\r\n" + CHUNKED, LENGTH + b"TRANSFER-ENCODING: Chunked\r\n",
    )  # fmt: skip
    heads = [LINE + HOST + pair + b"\r\n" + WHOLE for pair in pairs]
    return [*heads, LINE.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + WHOLE]


def fields() -> list[bytes]:
    odd = (
        b" Content-Length: 15\r\n", b"Content-Length : 15\r\n", b"Content-Length\t: 15\r\n", b"Content-Length\r\n",
        b": 15\r\n", b"X: a\r\n Content-Length: 15\r\n", b"X: a\r\n\tb\r\n", b"X: a\x00b\r\n", b"X: a\rb\r\n",
        b"X: a\nContent-Length: 15\r\n", b"X\x00: a\r\n", b"X Y: a\r\n", b"X\xff: a\r\n", b"X: a\r\r\n", b"X(: a\r\n",
        b"X: a\x7f\r\n", b"X: a\x1b[2J\r\n", b'"X": a\r\n', b"X\r: a\r\n", b"\x0bX: a\r\n", b"Content_Length 15\r\n",
        b"X: a\r\nTransfer-Encoding\x0b: chunked\r\n", b"Transfer-Encoding\x85: chunked\r\n", b"\r: a\r\n",
    )  # fmt: skip
    return [b"GET /health HTTP/1.1\r\n" + HOST + field + b"\r\n" for field in odd]


def hosts() -> list[bytes]:
    odd = (
        b"", HOST + HOST, HOST + b"Host: other\r\n", b"Host: a b\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n",
        b"Host: a,b\r\n" + HOST, b"Host: a\x00\r\n", b"Host: a?b\r\n", b"Host: a#b\r\n", b"Host: a\\b\r\n",
        b"Host: <a>\r\n", b"Host : test\r\n", b"Host: \xe4\r\n",
    )  # fmt: skip
    return [b"GET /health HTTP/1.1\r\n" + host + b"\r\n" for host in odd]


def lines() -> list[bytes]:
    odd = (
        b"GET  /health HTTP/1.1\r\n", b"GET /health  HTTP/1.1\r\n", b" GET /health HTTP/1.1\r\n",
        b"GET /health HTTP/1.1 \r\n", b"GET\t/health HTTP/1.1\r\n", b"GET /hea lth HTTP/1.1\r\n",
        b"GET /health HTTP/1.1\n", b"GET /health\r\n", b"GET /health HTTP/11\r\n", b"GET /health HTTP/1.10\r\n",
        b"GET /health HTTP/01.1\r\n", b"GET /health http/1.1\r\n", b"GET /health HTTP/1,1\r\n", b"GET HTTP/1.1\r\n",
        b"GET /health HTTPS/1.1\r\n", b"/health HTTP/1.1\r\n", b"GET health HTTP/1.1\r\n",
        b"G\x00T /health HTTP/1.1\r\n",
        b"GET /h\x00 HTTP/1.1\r\n", b"GET /h\xff HTTP/1.1\r\n", b"GET /h\x7f HTTP/1.1\r\n", b"GET /h#f HTTP/1.1\r\n",
        b"GET /h\rX: HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\r\n", b"get /health HTTP/1.1\r\n", b"\nGET / HTTP/1.1\r\n",
        b"GET http://x/\xff HTTP/1.1\r\n", b"GET http:///x HTTP/1.1\r\n", b"GET http://x/a#b HTTP/1.1\r\n",
        b"GET ftp://x/ HTTP/1.1\r\n", b"GET * HTTP/1.1\r\n", b"POST * HTTP/1.1\r\n", b"GET /h\x0bx HTTP/1.1\r\n",
        b"G(T / HTTP/1.1\r\n", b"GET / HTTP/1.1 HTTP/1.1\r\n", b"GET /\x85 HTTP/1.1\r\n", b"GET / HTTP/-1.1\r\n",
    )  # fmt: skip
    return [line + HOST + b"\r\n" for line in odd]


def chunkings() -> list[bytes]:
    head = LINE + HOST + CHUNKED + b"\r\n"
    odd = (
        b"0xf\r\n" + BODY + b"\r\n0\r\n\r\n", b"+f\r\n" + BODY + b"\r\n0\r\n\r\n", b"-1\r\n\r\n0\r\n\r\n",
        b"f\n" + BODY + b"\n0\n\n", b"f\r\n" + BODY + b"0\r\n\r\n", b"e\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"f \r\n" + BODY + b"\r\n0\r\n\r\n", b" f\r\n" + BODY + b"\r\n0\r\n\r\n", b"\r\n" + WHOLE,
        b"f\r" + BODY + b"\r\n0\r\n\r\n", b"f_f\r\n" + BODY, b"1" * 17 + b"\r\n", b";x\r\n\r\n", b"g\r\n\r\n0\r\n\r\n",
        b"f;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n", b"f;\x00\r\n" + BODY + b"\r\n0\r\n\r\n", b"ffffffffffffffff\r\n",
        b"f\r\n" + BODY + b"\r\n0\r\nbad trailer\r\n\r\n", b"f\r\n" + BODY + b"\r\n0\r\n a: b\r\n\r\n",
        b"f\r\n" + BODY + b"\n\r0\r\n\r\n", b"f\r\n" + BODY + b"\r\n0\r\na: b\n\r\n", b"\xef\xbc\x95\r\n",
        b"f\r\n" + BODY + b"\r\n0\r\n: b\r\n\r\n", b"f;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n",
    )  # fmt: skip
    return [head + body for body in odd]


SMUGGLING = [*lengths(), *codings(), *both(), *fields(), *hosts(), *lines(), *chunkings()]


async def check_one_refusal(port: int, data: bytes) -> None:
    """Send `data` and a canary request; check for one response, a 4xx or 5xx, and a closed connection."""
    async with await Client.connect(port) as client:
        await client.send(data + CANARY)
        response = await client.read_response()
        assert 400 <= response.status < 600
        assert response.headers["connection"] == "close"
        assert await client.read_to_end() == b"", "data follows the refusal"
        assert "canary" not in response.headers.get("x-request-id", "")


@pytest.mark.parametrize("data", SMUGGLING, ids=lambda data: repr(data[:70]))
async def test_ambiguously_framed_request_is_refused_and_nothing_after_it_is_read(port: int, data: bytes) -> None:
    await check_one_refusal(port, data)


@pytest.mark.parametrize("data", SMUGGLING[::4], ids=lambda data: repr(data[:70]))
async def test_ambiguously_framed_request_is_refused_byte_by_byte(port: int, data: bytes) -> None:
    async with await Client.connect(port) as client:
        try:
            for at in range(len(data)):
                await client.send(data[at : at + 1])
            await client.send(CANARY)
        except ConnectionError:
            pass
        try:
            response = await client.read_response()
            assert 400 <= response.status < 600
            assert await client.read_to_end() == b""
        except ConnectionResetError:
            pass


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (request("/version", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="AAMAAABk"), {200}),
        (request("/version", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13"), {200}),
        (request("/chat", method="POST", body=b"{}", Connection="Upgrade", Upgrade="h2c"), {400}),
        (request("http://elsewhere:80/version"), {200}),
        (request("HTTP://ELSEWHERE/version?x"), {200}),
        (request("*", method="OPTIONS"), {204}),
        (request("/version", Connection="close, Upgrade", Upgrade="h2c"), {200}),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else "",
)
async def test_unusual_valid_request_is_served(port: int, data: bytes, statuses: set[int]) -> None:
    async with await Client.connect(port) as client:
        await client.send(data)
        response = await client.read_response()
        assert response.status in statuses
        assert "upgrade" not in response.headers
        if response.headers.get("connection") != "close":
            assert (await client.fetch(CANARY)).headers["x-request-id"] == "canary"


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: test\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        b"GET /\r\n\r\n",
        b"\x00" * 100,
        b"\r\n" * 100 + b"x",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HELO test\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: test\r\n\r\n",
    ],
    ids=lambda data: repr(data[:30]),
)
async def test_unsupported_request_is_4xx_or_5xx_or_closed(port: int, data: bytes) -> None:
    async with await Client.connect(port) as client:
        await client.send(data)
        try:
            response = await client.read_response()
        except EOFError:
            return
        assert 400 <= response.status < 600
        assert "elsewhere" not in response.body.decode()


async def test_hostile_requests_release_everything() -> None:
    async with running() as here:
        for data in SMUGGLING:
            await check_one_refusal(here.port, data)
        await here.wait_idle()
