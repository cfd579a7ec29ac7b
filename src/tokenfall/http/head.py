"""Parser of request heads: bytes -> `Request`. No I/O; strict wherever leniency would allow request smuggling.

`RequestReader` passes a complete head, up to its blank line. Source: RFC 9112, sections 2 to 6. No library is used,
because those that parse heads need more memory than the rest of the server (docs/decisions/0021).
"""

from tokenfall.http.request import Refusal, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.bounds import Bounds

_ALPHANUMERIC = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
TOKEN = b"!#$%&'*+-.^_`|~" + _ALPHANUMERIC
"""The bytes allowed in a method or a field name; RFC 9110, section 5.6.2."""

_HOST = b"-._~%!$&'()*+,;=:[]" + _ALPHANUMERIC
_VISIBLE = bytes(range(0x21, 0x7F))
CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})
"""The bytes forbidden in a field value; RFC 9110, section 5.5."""

METHODS = {
    name.encode(): name
    for name in (
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "ACL",
        "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY",
        "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH", "REBIND",
        "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF",
        "VERSION-CONTROL",
    )
}  # fmt: skip
"""The registered methods (IANA, HTTP Method Registry). Any other word probably belongs to another protocol."""

MAX_CACHED = 128
MAX_CACHED_BYTES = 1_024
"""Bounds of the cache of parsed heads: entries, and bytes of each. A client that repeats a request sends an identical
head; the cache saves a third of the cost of a short response under load."""

MAX_CACHED_LINES = 256
MAX_CACHED_LINE_BYTES = 128
"""The same for single header lines, because most lines of a head that is not cached are repeated."""

_VERSIONS = "only HTTP/1.1 and HTTP/1.0 are supported"
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"
_NOT_CACHED = frozenset(
    (
        b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key", b"cookie", b"content-length",
        b"transfer-encoding", b"upgrade", b"expect",
    )
)  # fmt: skip
"""A head with one of these fields, and their lines, are not cached: they contain a secret, or are rarely repeated."""

_SINGLETONS = frozenset((b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type"))


class HeadParser:
    """Parses heads one at a time and caches the repeated ones. Shared by all connections."""

    def __init__(self, bounds: "Bounds") -> None:
        self._bounds = bounds
        self._cache: dict[bytes, Request] = {}
        self._lines: dict[bytes, tuple[bytes, bytes]] = {}

    def cached(self, head: bytes) -> Request | None:
        """A new request from a cached head, None if `head` is not cached. The request has no body."""
        known = self._cache.get(head)
        return None if known is None else known.copy_head()

    def parse(self, head: bytes) -> Request:
        """`head` ends with its blank line. Raises `Refusal`."""
        known = self.cached(head)
        if known is not None:
            return known
        request = self._parse(head)
        if len(head) <= MAX_CACHED_BYTES and _NOT_CACHED.isdisjoint(request.headers):
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[head] = request.copy_head()
        return request

    def _parse(self, head: bytes) -> Request:
        if head.startswith(_HTTP2_PREFACE):
            raise Refusal(505, _VERSIONS)
        line, *lines = head[:-4].split(b"\r\n")
        method, target, minor = self._request_line(line)
        headers = self._fields(lines)
        request = Request(METHODS[method], _origin_form(method, target), headers=headers, http_minor=minor)
        _check_host(headers, minor)
        connection = headers.get(b"connection")
        if connection is None:
            request.keep_alive = minor == 1
        else:
            tokens = [token.strip() for token in connection.lower().split(b",")]
            request.keep_alive = b"close" not in tokens and (minor == 1 or b"keep-alive" in tokens)
        return request

    def _request_line(self, line: bytes) -> tuple[bytes, bytes, int]:
        """Method, target and minor version, separated by one space; RFC 9112, section 3."""
        parts = line.split(b" ")
        if len(parts) == 2 and parts[0] in METHODS:  # HTTP/0.9
            raise Refusal(505, _VERSIONS)
        if len(parts) != 3 or not parts[1]:
            raise Refusal(400, "malformed request line")
        method, target, version = parts
        if method not in METHODS:
            raise Refusal(400, "malformed request: unknown method")
        if len(target) > self._bounds.max_target_bytes:
            raise Refusal(414, f"the request target may have at most {self._bounds.max_target_bytes} bytes")
        if version == b"HTTP/1.1":
            return method, target, 1
        if version == b"HTTP/1.0":
            return method, target, 0
        major, _, minor = version[5:].partition(b".")
        if version.startswith(b"HTTP/") and len(version) == 8 and major.isdigit() and minor.isdigit():
            raise Refusal(505, _VERSIONS)
        raise Refusal(400, "malformed request line")

    def _fields(self, lines: list[bytes]) -> dict[bytes, bytes]:
        """Headers by lower-case name; RFC 9112, section 5."""
        if len(lines) > self._bounds.max_headers:
            raise Refusal(431, f"more than {self._bounds.max_headers} header fields")
        headers: dict[bytes, bytes] = {}
        known = self._lines
        for line in lines:
            name, value = known.get(line) or self._field(line)
            previous = headers.get(name)
            if previous is not None:
                if name in _SINGLETONS:
                    raise Refusal(400, f"more than one {name.decode('ascii')} header")
                value = previous + b", " + value
            headers[name] = value
        return headers

    def _field(self, line: bytes) -> tuple[bytes, bytes]:
        """Lower-case name and value of a header line."""
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, TOKEN):
            raise Refusal(400, "malformed request: a header field must be a name, a colon and a value")
        name, value = name.lower(), value.strip(b" \t")
        if len(value.translate(None, CONTROLS)) != len(value):
            raise Refusal(400, "malformed request: a header value must not contain control characters")
        if len(line) <= MAX_CACHED_LINE_BYTES and name not in _NOT_CACHED:
            if len(self._lines) >= MAX_CACHED_LINES:
                self._lines.clear()
            self._lines[line] = name, value
        return name, value


def _origin_form(method: bytes, target: bytes) -> bytes:
    """The target reduced to path and query; RFC 9112, section 3.2."""
    if target.startswith(b"/"):
        if b"#" in target or target.translate(None, _VISIBLE):
            raise Refusal(400, "malformed request target")
        return target
    if method == b"CONNECT":
        raise Refusal(405, "CONNECT is not supported")
    if target == b"*" and method == b"OPTIONS":
        return target
    scheme, separator, remainder = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https") or b"#" in target or target.translate(None, _VISIBLE):
        raise Refusal(400, "the request target must begin with /")
    ends = (at for at in (remainder.find(b"/"), remainder.find(b"?")) if at >= 0)
    authority = remainder[: min(ends, default=len(remainder))]
    if not authority:
        raise Refusal(400, "the request target must begin with /")
    path = remainder[len(authority) :]
    return path if path.startswith(b"/") else b"/" + path


def _check_host(headers: dict[bytes, bytes], minor: int) -> None:
    host = headers.get(b"host")
    if host is None:
        if minor == 1:
            raise Refusal(400, "a Host header is required")
    elif host.translate(None, _HOST):
        raise Refusal(400, "malformed Host header")
