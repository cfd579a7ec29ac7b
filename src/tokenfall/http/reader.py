"""Bytes of a connection, as they come, to whole requests. No I/O and no clock.

It keeps what a pipelining client sent ahead, in one buffer with a place in it, so that a thousand requests in one read
cost no copies of the rest.
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
"""What is awaited: a first byte, the rest of a head, the rest of a body."""

_TARGET_SLACK = 32  # method, spaces and version around the target, in a request line that has not ended


class RequestReader:
    """One for each connection; may be dropped between requests while `waiting` is 0."""

    __slots__ = ("_at", "_body", "_bounds", "_buffer", "_heads", "_promise", "request")

    def __init__(self, heads: "HeadParser", bounds: "Bounds") -> None:
        self._heads = heads
        self._bounds = bounds
        self._buffer = b""  # empty as soon as all of it is read
        self._at = 0
        self._body: BodyReader | None = None
        self._promise = False
        self.request: Request | None = None
        """The request whose body is awaited, or was when a `Refusal` was raised."""

    @property
    def waiting(self) -> int:
        """Bytes that came and are not read yet."""
        return len(self._buffer) - self._at

    @property
    def phase(self) -> int:
        """What is awaited."""
        if self._body is not None:
            return BODY
        return HEAD if self._buffer else IDLE

    def feed(self, data: bytes) -> None:
        """Keep what came. The caller bounds it by not reading on."""
        if self._buffer:
            data = self._buffer[self._at :] + data
            self._at = 0
        self._buffer = data

    def next(self) -> "Request | None":
        """The next whole request, None while there is none. Raises `Refusal`; nothing more may be read after that."""
        if self._body is None and not (self._buffer and self._read_head()):
            return None
        if self._body is not None and not self._read_body(self._body):
            return None
        request, self.request = self.request, None
        return request

    def promised(self) -> bool:
        """Whether the client waits for `100 Continue`; True once for each request."""
        promise, self._promise = self._promise, False
        return promise and self._body is not None and not self.waiting

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
        self._promise = False
        expected = request.headers.get(b"expect")
        if expected is not None:
            if expected.lower() != b"100-continue":
                raise Refusal(417, "the only expectation served here is 100-continue")
            self._promise = request.http_minor == 1
        return True

    def _read_body(self, body: "BodyReader") -> bool:
        rest = body.feed(self._buffer[self._at :])
        self._buffer, self._at = rest or b"", 0
        if rest is None or self.request is None:
            return False
        self.request.body = body.body()
        self._body = None
        return True

    def _check_unfinished(self, head: bytes) -> None:
        """Refuse what cannot become a head before more of it is kept."""
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
