"""Incremental parser of request bodies. No I/O; sizes are checked before bytes are stored.

Source: RFC 9112, sections 6 and 7. Chunk extensions and trailers are parsed and dropped.
"""

from tokenfall.http.head import CONTROLS, TOKEN
from tokenfall.http.request import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.request import Request

MAX_CHUNK_LINE_BYTES = 256
MAX_TRAILER_BYTES = 8_192
MAX_OVERHEAD_FACTOR = 16
"""Maximum overhead of the chunked coding, as a multiple of the maximum body size."""

_NO_TRAILERS = (b"transfer-encoding", b"content-length", b"host")  # RFC 9110, section 6.5.1
_HEX = frozenset(b"0123456789abcdefABCDEF")


def body_reader(request: "Request", max_bytes: int) -> "BodyReader | None":
    """The reader for the body that the request's headers declare, None without a body. Raises `Refusal`."""
    coding = request.headers.get(b"transfer-encoding")
    if coding is not None:
        if request.http_minor == 0 or b"content-length" in request.headers:
            raise Refusal(400, "Transfer-Encoding is not allowed with Content-Length or HTTP/1.0")
        codings = [each.strip() for each in coding.lower().split(b",")]
        if codings[-1] != b"chunked":  # RFC 9112, section 6.3: the body's length cannot be determined
            raise Refusal(400, "chunked must be the last transfer coding")
        if len(codings) > 1:
            raise Refusal(501, "the only supported transfer coding is chunked")
        return ChunkedBody(max_bytes)
    text = request.headers.get(b"content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise Refusal(400, "malformed Content-Length")
    length = int(text)
    if length > max_bytes:
        raise Refusal(413, f"the body may have at most {max_bytes} bytes")
    return FixedBody(length) if length else None


class BodyReader:
    """Collects bytes until the body is complete."""

    __slots__ = ("_body",)

    _body: bytearray

    @property
    def received_bytes(self) -> int:
        """Size of the part that has arrived."""
        return len(self._body)

    def feed(self, data: bytes) -> bytes | None:
        """Return the bytes after the body, or None while it is incomplete. Raises `Refusal`."""
        raise NotImplementedError

    def body(self) -> bytes:
        """The complete body; valid once `feed` has returned bytes."""
        return bytes(self._body)


class FixedBody(BodyReader):
    """A body with a Content-Length."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._body = bytearray()
        self._left = length

    def feed(self, data: bytes) -> bytes | None:
        taken = data[: self._left]
        self._body += taken
        self._left -= len(taken)
        return None if self._left else data[len(taken) :]


class ChunkedBody(BodyReader):
    """A body in chunked coding, of at most `max_bytes` bytes."""

    __slots__ = ("_in_trailer", "_left", "_line", "_max_bytes", "_overhead", "_trailer")

    def __init__(self, max_bytes: int) -> None:
        self._body = bytearray()
        self._max_bytes = max_bytes
        self._line = b""  # the received part of a size line, a chunk's CRLF or a trailer line
        self._left: int | None = None  # bytes of the chunk to come; 0: its CRLF is next; None: a size line is next
        self._in_trailer = False
        self._trailer = 0
        self._overhead = 0

    def feed(self, data: bytes) -> bytes | None:
        data, self._line, at = self._line + data, b"", 0
        while True:
            if self._left:
                piece = data[at : at + self._left]
                self._body += piece
                self._left -= len(piece)
                at += len(piece)
                if self._left:
                    return None
            end = data.find(b"\n", at, at + MAX_TRAILER_BYTES)
            if end < 0:
                self._line = data[at:]
                self._check_partial()
                return None
            if data[end - 1 : end] != b"\r" or end == at:
                raise Refusal(400, "malformed chunked body: a line must end with CR LF")
            line, at = data[at : end - 1], end + 1
            if self._take_line(line):
                return data[at:]

    def _take_line(self, line: bytes) -> bool:
        """Process one line of the coding; True at the blank line that ends the body."""
        if self._left == 0:
            if line:
                raise Refusal(400, "malformed chunked body: a chunk is longer than its size")
            self._left = None
        elif self._in_trailer:
            self._trailer += len(line) + 2
            if self._trailer > MAX_TRAILER_BYTES:
                raise Refusal(431, f"trailers may have at most {MAX_TRAILER_BYTES} bytes")
            if line and not _is_field(line):
                raise Refusal(400, "malformed trailer")
            return not line
        else:
            self._take_size(line)
        return False

    def _take_size(self, line: bytes) -> None:
        if len(line) > MAX_CHUNK_LINE_BYTES:
            raise Refusal(413, f"a chunk's size line may have at most {MAX_CHUNK_LINE_BYTES} bytes")
        digits, semicolon, extension = line.partition(b";")
        digits = digits.rstrip(b" \t") if semicolon else digits
        if not digits or len(digits) > 16 or not _HEX.issuperset(digits) or _has_control(extension):
            raise Refusal(400, "malformed chunk size")
        size = int(digits, 16)
        self._overhead += len(line) + 4
        if len(self._body) + size > self._max_bytes or self._overhead > MAX_OVERHEAD_FACTOR * self._max_bytes:
            raise Refusal(413, f"the body may have at most {self._max_bytes} bytes")
        self._left = size or None
        self._in_trailer = size == 0

    def _check_partial(self) -> None:
        """Refuse an incomplete line that is already too long."""
        if self._in_trailer:
            if self._trailer + len(self._line) > MAX_TRAILER_BYTES:
                raise Refusal(431, f"trailers may have at most {MAX_TRAILER_BYTES} bytes")
        elif len(self._line) > MAX_CHUNK_LINE_BYTES + 2:
            raise Refusal(413, f"a chunk's size line may have at most {MAX_CHUNK_LINE_BYTES} bytes")


def _is_field(line: bytes) -> bool:
    name, colon, value = line.partition(b":")
    allowed = name and not name.translate(None, TOKEN) and name.lower() not in _NO_TRAILERS
    return bool(colon and allowed) and not _has_control(value)


def _has_control(text: bytes) -> bool:
    return len(text.translate(None, CONTROLS)) != len(text)
