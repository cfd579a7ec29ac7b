"""Encodes status lines, header lines and chunks. The only encoder of header lines. Pure.

Source: RFC 9112, sections 4, 5 and 7.1; IANA's registry of status codes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


_FORBIDDEN = ("\r", "\n", "\0")


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Encoded header lines, each with its CRLF. Raises ValueError on CR, LF or NUL, against header injection."""
    lines = [f"{name}: {value}" for name, value in headers]
    if _is_broken("".join(lines)):
        broken = next(filter(_is_broken, lines))
        raise ValueError(f"the header {broken.partition(': ')[0]!r} contains a line break or NUL")
    return "".join([f"{line}\r\n" for line in lines]).encode("latin-1", "replace")


def _is_broken(text: str) -> bool:
    return any(character in text for character in _FORBIDDEN)


def status_line(status: int) -> bytes:
    """The encoded status line, such as `HTTP/1.1 200 OK`, with its CRLF."""
    return f"HTTP/1.1 {status} {phrase(status)}\r\n".encode()


def phrase(status: int) -> str:
    """The reason phrase; "Error" for an unregistered status, such as Anthropic's 529."""
    return _PHRASES.get(status, "Error")


_PHRASES = {
    200: "OK",
    201: "Created",
    204: "No Content",
    304: "Not Modified",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    423: "Locked",
    424: "Failed Dependency",
    425: "Too Early",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates",
    507: "Insufficient Storage",
    508: "Loop Detected",
    511: "Network Authentication Required",
}
"""The statuses that this server sends, and every 4xx and 5xx of IANA's registry, which an injected error may have.
`http.HTTPStatus` is not used, because its first import blocks the event loop for some milliseconds."""


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of the chunked coding; RFC 9112, section 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
