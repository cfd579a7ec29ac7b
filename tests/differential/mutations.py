"""Valid requests, and random mutations of them as from a broken or hostile sender."""

from random import Random

_HOST = b"Host: test:8080\r\n"
_BODY = b'{"messages":[]}'

SEEDS: tuple[bytes, ...] = (
    b"GET / HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET /stream-sse?gap=20ms&tokens=3 HTTP/1.1\r\n" + _HOST + b"Accept: text/event-stream\r\n\r\n",
    b"HEAD /a%20b/%e2%82%ac?x=%41 HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"DELETE /history HTTP/1.1\r\nHost: [::1]:80\r\nX-A: 1\r\nX-A: 2\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET http://other.example:81/path?q HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"POST /chat HTTP/1.1\r\n" + _HOST + b"Content-Length: 15\r\n\r\n" + _BODY,
    b"POST /chat HTTP/1.1\r\n" + _HOST + b"Content-Length: 0\r\n\r\n",
    b"POST /chat HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + _BODY[:5] + b"\r\nA\r\n"
    + _BODY[5:] + b"\r\n0\r\n\r\n",
    b"POST /chat HTTP/1.1\r\n" + _HOST + b"transfer-encoding: Chunked\r\n\r\nf;name=value\r\n" + _BODY
    + b"\r\n000\r\nTrailer: x\r\nOther: y\r\n\r\n",
    b"POST /chat HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /one HTTP/1.1\r\n" + _HOST + b"\r\nGET /two HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"POST /one HTTP/1.1\r\n" + _HOST + b"Content-Length: 3\r\n\r\nabcGET /two HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"POST /one HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    b"POST /two HTTP/1.1\r\n" + _HOST + b"Content-Length: 2\r\n\r\nde",
    b"GET /old HTTP/1.0\r\n\r\n",
    b"POST /old HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
    b"GET /last HTTP/1.1\r\n" + _HOST + b"Connection: close\r\n\r\nGET /never HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET /kept HTTP/1.1\r\n" + _HOST + b"Connection: keep-alive, x\r\n\r\nGET /two HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"POST /chat HTTP/1.1\r\n" + _HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /up HTTP/1.1\r\n" + _HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"GET /white HTTP/1.1\r\nHost:test\r\nA: \t b \t\r\nEmpty:\r\nC:\xe4\xff\r\n\r\n",
    b"GET /many HTTP/1.1\r\n" + _HOST + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(20)) + b"\r\n",
)  # fmt: skip

BLANK_LINES: tuple[bytes, ...] = (b"\r\n" + SEEDS[0], b"\r\n\r\n" + SEEDS[0], SEEDS[6] + b"\r\n" + SEEDS[1])
"""Blank lines before a request, which h11 refuses; see RFC 9112, section 2.2."""

_PIECES: tuple[bytes, ...] = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b"\x00", b"\x0b", b"\x7f", b"\x80", b"\xff", b":", b": ", b",",
    b";", b"/", b"?", b"#", b"%", b"*", b"@", b"-", b"+", b"_", b"0", b"1", b"9", b"f", b"x", b"0x", b"chunked",
    b"gzip", b"close", b"identity", b"Content-Length: 3\r\n", b"Content-Length: 15\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Host: two\r\n", b"Connection: close\r\n",
    b"Expect: 100-continue\r\n", b"Upgrade: x\r\n", b" folded\r\n", b"X : y\r\n", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0",
    b"GET", b"POST", b"CONNECT", b"FOO", b"http://", b"0\r\n\r\n", b"3\r\nabc\r\n", b"GET / HTTP/1.1\r\n\r\n",
)  # fmt: skip


def mutated(random: Random) -> bytes:
    """One of the seeds with one to four random changes."""
    data = random.choice(SEEDS)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        data = random.choice(_CHANGES)(data, random)
    return data


def _place(data: bytes, random: Random) -> int:
    """A random offset; in four of ten cases the start of a line, where a change affects the framing."""
    ends = [at for at in range(len(data)) if data[at : at + 1] == b"\n"]
    return random.choice(ends) + 1 if ends and random.random() < 0.4 else random.randint(0, len(data))


def _insert(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + random.choice(_PIECES) + data[at:]


def _replace(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + random.choice(_PIECES) + data[at + random.randint(1, 4) :]


def _flip(data: bytes, random: Random) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]


def _delete(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + data[at + random.randint(1, 6) :]


def _repeat(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    end = at + random.randint(1, 30)
    return data[:end] + data[at:end] + data[end:]


def _repeat_line(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\r\n")
    at = random.randrange(len(lines))
    return b"\r\n".join((*lines[:at], lines[at], *lines[at:]))


def _swap_lines(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\r\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


def _bare_line_ends(data: bytes, random: Random) -> bytes:
    return data.replace(b"\r\n", random.choice((b"\n", b"\r", b"\r\r\n")), random.randint(1, 3))


def _case(data: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    end = at + random.randint(1, 20)
    return data[:at] + data[at:end].swapcase() + data[end:]


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _join(data: bytes, random: Random) -> bytes:
    return data + random.choice(SEEDS)


_CHANGES = (
    _insert, _insert, _insert, _replace, _replace, _flip, _flip, _delete, _repeat, _repeat_line, _swap_lines,
    _bare_line_ends, _case, _cut, _join,
)  # fmt: skip
