"""Incremental reader of requests: received bytes -> complete requests. No I/O and no clock.

Pipelined bytes stay in one buffer with a read position, so that a thousand requests in one read need no copies of the
remaining bytes.
"""

from tokenfall.http.body import body_reader
from tokenfall.http.request import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.body import BodyReader
    from tokenfall.http.bounds import Bounds
    from tokenfall.http.head import HeadParser
    from tokenfall.http.request import Request

IDLE, HEAD, BODY = range(3)
"""Phase: before the first byte; inside a head; inside a body."""

_TARGET_SLACK = 32  # allowance for method, spaces and version in an incomplete request line


class RequestReader:
    """One per connection; may be dropped between requests while `unparsed_bytes` is 0."""

    __slots__ = ("_at", "_body", "_bounds", "_buffer", "_expects_continue", "_heads", "request")

    def __init__(self, heads: "HeadParser", bounds: "Bounds") -> None:
        self._heads = heads
        self._bounds = bounds
        self._buffer = b""  # empty once all of it is parsed
        self._at = 0
        self._body: BodyReader | None = None
        self._expects_continue = False
        self.request: Request | None = None
        """The request whose body is incomplete, also after a `Refusal` of that body."""

    @property
    def unparsed_bytes(self) -> int:
        """Bytes received and not parsed yet."""
        return len(self._buffer) - self._at

    @property
    def body_bytes(self) -> int:
        """Size of the received part of an incomplete body."""
        return 0 if self._body is None else self._body.received_bytes

    @property
    def phase(self) -> int:
        """IDLE, HEAD or BODY."""
        if self._body is not None:
            return BODY
        return HEAD if self._buffer else IDLE

    def feed(self, data: bytes) -> None:
        """Append received bytes. The caller limits the buffer by pausing reads."""
        if self._buffer:
            data = self._buffer[self._at :] + data
            self._at = 0
        self._buffer = data

    def next(self) -> "Request | None":
        """The next complete request, None if there is none. After a `Refusal` the reader must not be used again."""
        if self._body is None and not (self._buffer and self._read_head()):
            return None
        if self._body is not None and not self._read_body(self._body):
            return None
        request, self.request = self.request, None
        return request

    def take_expect_continue(self) -> bool:
        """Whether the client waits for `100 Continue`; True at most once per request."""
        expects, self._expects_continue = self._expects_continue, False
        return expects and self._body is not None and not self.unparsed_bytes

    def _read_head(self) -> bool:
        buffer, at = self._buffer, self._at
        if buffer[at] == 13 and buffer.startswith(b"\r\n", at):  # RFC 9112, section 2.2: an empty line is ignored
            at = self._at = at + 2
            if at == len(buffer):
                self._buffer, self._at = b"", 0
                return False
        end = buffer.find(b"\r\n\r\n", at, at + self._bounds.max_head_bytes)
        if end < 0:
            self._check_unfinished(buffer[at : at + self._bounds.max_head_bytes + 1])
            return False
        end += 4
        self.request = request = self._heads.parse(buffer[at:end])
        if end == len(buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        self._body = body_reader(request, self._bounds.max_body_bytes)
        self._expects_continue = False
        expectation = request.headers.get(b"expect")
        if expectation is not None:
            if expectation.lower() != b"100-continue":
                raise Refusal(417, "the only supported expectation is 100-continue")
            self._expects_continue = request.http_minor == 1
        return True

    def _read_body(self, body: "BodyReader") -> bool:
        remaining = body.feed(self._buffer[self._at :])
        self._buffer, self._at = remaining or b"", 0
        if remaining is None or self.request is None:
            return False
        self.request.body = body.body()
        self._body = None
        return True

    def _check_unfinished(self, head: bytes) -> None:
        """Refuse an incomplete head that is already too long or malformed."""
        bounds = self._bounds
        if not head or head == b"\r":
            return
        line_end = head.find(b"\r\n")
        if (line_end if line_end >= 0 else len(head)) > bounds.max_target_bytes + _TARGET_SLACK:
            raise Refusal(414, f"the request target may have at most {bounds.max_target_bytes} bytes")
        if len(head) > bounds.max_head_bytes:
            raise Refusal(431, f"the head may have at most {bounds.max_head_bytes} bytes")
        if not 65 <= head[0] <= 90 or head.count(b"\n") != head.count(b"\r\n"):
            raise Refusal(400, "malformed request: this is not HTTP/1.1")
