"""Tokenfall and h11 parse the same bytes into the same requests, with the exceptions listed here.

For security, Tokenfall must never parse a request where h11 parses none or a different one. It may refuse a request
that h11 accepts, but only for the reasons in `STRICTER`.
"""

import os
import re
from random import Random

import pytest

from tokenfall.http.head import HeadParser
from tokenfall.http.request import Request

from tests.differential.mutations import BLANK_LINES, SEEDS, mutated
from tests.differential.parsers import BOUNDS, Reading, h11_reads, tokenfall_reads

MUTATIONS = int(os.environ.get("DIFFERENTIAL_MUTATIONS", "20000"))
BATCHES = 10

STRICTER: dict[str, str] = {
    r"malformed request: this is not HTTP/1\.1": "lines end with CR LF, a request begins with a method; RFC 9112, 2.2",
    r"malformed request: unknown method": "methods that no server implements",
    r"malformed request: a header field must be .*": "no folded line, no space before the colon; RFC 9112, 5",
    r"malformed request: a header value must not contain .*": "a bare CR or LF ends no line; RFC 9110, 5.5",
    r"malformed request (line|target)": "one space, visible ASCII, no fragment; RFC 9112, 3",
    r"malformed Content-Length": "digits only; RFC 9110, 8.6",
    r"malformed Host header": "the characters of a host and port; RFC 9110, 7.2",
    r"malformed chunked body.*": "a line ends with CR LF, a chunk with its size; RFC 9112, 7.1",
    r"malformed (chunk size|trailer)": "hexadecimal digits, fields of RFC 9110, 5.6.2; RFC 9112, 7.1",
    r"more than one [a-z-]+ header": "a second value of these could be another sender's; RFC 9110, 5.3",
    r"the request target must begin with /": "origin, absolute and asterisk form; RFC 9112, 3.2",
    r"CONNECT is not supported": "this is no proxy; RFC 9110, 9.3.6",
    r"only HTTP/1\.1 and HTTP/1\.0 are supported": "other versions; RFC 9110, 15.6.6",
    r"the only supported expectation is 100-continue": "RFC 9110, 10.1.1",
    r"the only supported transfer coding is chunked": "RFC 9112, 6.1",
    r"chunked must be the last transfer coding": "RFC 9112, 6.1",
    r"Transfer-Encoding is not allowed with .*": "no Transfer-Encoding in HTTP/1.0 or with a length; RFC 9112, 6.1",
    r"the (body|head|request target) may have at most .*": "our own limits",
    r"a chunk's size line may have at most .*": "our own limit",
    r"a Host header is required": "RFC 9112, 3.2",
}
"""Patterns of Tokenfall's errors for requests that h11 accepts, and the reasons."""

BLANK_LINE = "no request line received"
"""h11's error for an empty line before a request, which a server should ignore by RFC 9112, section 2.2."""

BAD_WHITESPACE = re.compile(r"illegal chunk header: bytearray\(b'[0-9A-Fa-f]+(?: |\\t)+;.*", re.DOTALL)
"""h11's error for white space before a chunk's extension, which a recipient must remove by RFC 9112, section 7.1.1."""


def disagreement(data: bytes, heads: HeadParser) -> str | None:
    """The difference between the two results for `data` that is not allowed; None if there is none."""
    ours, theirs = tokenfall_reads([data], heads), h11_reads(data)
    for number, (our, their) in enumerate(zip(ours.requests, theirs.requests, strict=False)):
        if our != their:
            return f"request {number} differs: {our} and {their}"
    if len(ours.requests) > len(theirs.requests) and not _may_see_more(theirs):
        return f"more requests than h11: {ours.requests[len(theirs.requests) :]}, h11: {theirs.why}"
    if len(ours.requests) < len(theirs.requests) and not _may_refuse(ours):
        return f"fewer requests than h11, without an allowed reason: {ours.refused} {ours.why!r}"
    return None


def _may_see_more(theirs: Reading) -> bool:
    """h11 has no keep-alive in HTTP/1.0, no blank lines before a request, and no white space before an extension."""
    stopped = bool(theirs.requests) and theirs.requests[-1].closes
    return stopped or theirs.why == BLANK_LINE or bool(BAD_WHITESPACE.fullmatch(theirs.why))


def _may_refuse(ours: Reading) -> bool:
    closed = bool(ours.requests) and ours.requests[-1].closes
    return closed or any(re.fullmatch(pattern, ours.why) for pattern in STRICTER)


@pytest.mark.parametrize("seed", SEEDS)
def test_valid_requests_parse_equally(seed: bytes) -> None:
    ours, theirs = tokenfall_reads([seed], HeadParser(BOUNDS)), h11_reads(seed)

    assert ours.refused == theirs.refused == 0
    assert ours.requests[: len(theirs.requests)] == theirs.requests


@pytest.mark.parametrize("data", BLANK_LINES)
def test_blank_lines_before_a_request_follow_the_standard(data: bytes) -> None:
    assert disagreement(data, HeadParser(BOUNDS)) is None


@pytest.mark.parametrize("size_line", [b"f\t;name=value", b"f ;a", b"F \t ;"])
def test_white_space_before_an_extension_follows_the_standard(size_line: bytes) -> None:
    data = SEEDS[9].replace(b"f;name=value", size_line)
    assert size_line in data
    assert disagreement(data, HeadParser(BOUNDS)) is None
    assert len(tokenfall_reads([data], HeadParser(BOUNDS)).requests) == 1


@pytest.mark.parametrize("batch", range(BATCHES))
def test_mutated_requests_parse_equally(batch: int) -> None:
    random = Random(batch)
    heads = HeadParser(BOUNDS)  # shared, as in a process: no data of one request may leak into the next
    for _ in range(MUTATIONS // BATCHES):
        data = mutated(random)
        assert disagreement(data, heads) is None, data


@pytest.mark.parametrize("seed", SEEDS)
def test_every_split_of_a_request_parses_equally(seed: bytes) -> None:
    heads = HeadParser(BOUNDS)
    whole = tokenfall_reads([seed], heads)

    assert tokenfall_reads([seed[at : at + 1] for at in range(len(seed))], heads) == whole
    for at in range(1, len(seed)):
        assert tokenfall_reads([seed[:at], seed[at:]], heads) == whole, at


def test_smuggled_request_is_reported() -> None:
    smuggled = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /two HTTP/1.1\r\nHost: a\r\n\r\n"

    class ParserWithoutLength(HeadParser):
        def parse(self, head: bytes) -> Request:
            return super().parse(head.replace(b"Content-Length: 3", b"X-Nothing: 3"))

    assert disagreement(smuggled, ParserWithoutLength(BOUNDS)) is not None
