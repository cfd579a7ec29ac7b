"""Bytes of a request's head -> `Request`. No I/O; strict where a mistake could smuggle a second request.

A head is cut at its blank line by the connection and parsed whole, so one httptools parser serves all
connections of a process and none holds a parser of its own. Source: RFC 9112, sections 2 to 6.
"""

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from tokenfall.edge.bounds import Bounds
from tokenfall.edge.request import Refusal, Request

_HOST = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_ABSOLUTE = re.compile(rb"(?i:https?)://[^/?#]+")
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "DELETE", "OPTIONS")}
MAX_KNOWN = 128
MAX_KNOWN_BYTES = 1_024
"""A client that repeats itself sends the same head to the byte: so many heads of at most so many bytes are kept parsed.
It spares a load test a third of what a short answer costs."""

_VERSIONS = "HTTP/1.1 and HTTP/1.0 are spoken here"
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"
_BODY_HEADERS = (b"content-length", b"transfer-encoding")
_NEVER_KEPT = frozenset(
    (b"authorization", b"x-api-key", b"cookie", b"content-length", b"transfer-encoding", b"upgrade", b"expect")
)
"""Heads with secrets, and heads after which the parser waits for something."""

_ONCE = frozenset((b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type"))


class HeadParser:
    """Parses one head at a time, always to its end: not to be shared between threads."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._known: dict[bytes, Request] = {}
        self._parser: HttpRequestParser | None = None  # one that stands before a request, if there is one

    def parse(self, head: bytes) -> Request:
        """`head` ends with its blank line. Raises `Refusal`."""
        known = self._known.get(head)
        if known is not None:
            return known.again()
        request = self._parse(head)
        if len(head) <= MAX_KNOWN_BYTES and _NEVER_KEPT.isdisjoint(request.headers):
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[head] = request.again()
        return request

    def _parse(self, head: bytes) -> Request:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._count = 0
        parser, self._parser = self._parser or HttpRequestParser(self), None
        upgraded = False
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:
            upgraded = True  # and ignored: RFC 9110, section 7.8
        except HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, Refusal):
                raise cause from None
            if head.startswith(_HTTP2_PREFACE):
                raise Refusal(505, _VERSIONS) from None
            raise Refusal(400, f"malformed request: {error}") from None
        if len(self._target) > self._bounds.max_target_bytes:
            raise Refusal(414, f"the request target may have at most {self._bounds.max_target_bytes} bytes")
        method = parser.get_method()
        minor = _http_minor(head, method, target=self._target, version=parser.get_http_version())
        target = _origin_form(method, self._target)
        headers = self._headers
        request = Request(_METHODS.get(method) or method.decode("ascii"), target, headers=headers, http_minor=minor)
        _check_host(headers, minor)
        connection = headers.get(b"connection")
        if connection is None:
            request.keep_alive = minor == 1
        else:
            tokens = [token.strip() for token in connection.lower().split(b",")]
            request.keep_alive = b"close" not in tokens and (minor == 1 or b"keep-alive" in tokens)
        if request.keep_alive and not upgraded and headers.keys().isdisjoint(_BODY_HEADERS):
            self._parser = parser  # else it waits for a body, which we read ourselves, or for nothing more
        return request

    def on_url(self, url: bytes) -> None:
        """httptools: the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header field."""
        name = name.lower()
        value = value.strip(b" \t")
        self._count += 1
        if self._count > self._bounds.max_headers:
            raise Refusal(431, f"more than {self._bounds.max_headers} header fields")
        before = self._headers.get(name)
        if before is not None:
            if name in _ONCE:
                raise Refusal(400, f"more than one {name.decode('latin-1')} header")
            value = before + b", " + value
        self._headers[name] = value


def _http_minor(head: bytes, method: bytes, *, target: bytes, version: str) -> int:
    """0 or 1. httptools takes more than one space in a request line and versions we do not speak."""
    if version not in ("1.1", "1.0"):
        raise Refusal(505, _VERSIONS)
    if not head.startswith(b"%b %b HTTP/%b\r\n" % (method, target, version.encode())):
        raise Refusal(400, "malformed request line")
    return 1 if version == "1.1" else 0


def _origin_form(method: bytes, target: bytes) -> bytes:
    """The target as path and query; RFC 9112, section 3.2."""
    if target.startswith(b"/"):
        if b"#" in target or not _TARGET.fullmatch(target):
            raise Refusal(400, "malformed request target")
        return target
    if method == b"CONNECT":
        raise Refusal(405, "CONNECT is not served here")
    if target == b"*" and method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE.match(target)
    if absolute is None or b"#" in target:
        raise Refusal(400, "the request target must begin with /")
    rest = target[absolute.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def _check_host(headers: dict[bytes, bytes], minor: int) -> None:
    host = headers.get(b"host")
    if host is None:
        if minor == 1:
            raise Refusal(400, "a Host header is needed")
    elif not _HOST.fullmatch(host):
        raise Refusal(400, "malformed Host header")
