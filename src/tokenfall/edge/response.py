"""The three kinds of answers, and the one place where header lines become bytes."""

from __future__ import annotations

from itertools import chain, islice, repeat

from tokenfall.disconnect import Disconnect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
    from typing import Protocol

    from tokenfall.ports import Hold

    Item = bytes | Hold | Disconnect
    """What a paced stream plays: a frame; a place to wait; the connection's end."""

    Headers = Sequence[tuple[str, str]]

    class Send(Protocol):
        """Sends a frame. An awaitable means that the client is slow: wait for it before the next frame."""

        def __call__(self, frame: bytes, /, *, is_token: bool = True) -> Awaitable[None] | None:
            """`is_token`: it is one of those that are counted and timed."""


_FORBIDDEN = str.maketrans("", "", "\r\n\0")


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Header lines, each with its end. Raises ValueError on CR, LF or NUL: nothing may add a header by its value."""
    lines = []
    for name, value in headers:
        line = f"{name}: {value}"
        if line.translate(_FORBIDDEN) != line:
            raise ValueError(f"the header {name!r} holds a line break or NUL")
        lines.append(line.encode("latin-1", "replace") + b"\r\n")
    return b"".join(lines)


def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` with its end."""
    return f"HTTP/1.1 {status} {phrase(status)}\r\n".encode()


def phrase(status: int) -> str:
    """The reason phrase; one of our own for what no registry knows, such as Anthropic's 529."""
    return _PHRASES.get(status) or _registered_phrase(status)


def _registered_phrase(status: int) -> str:
    from http import HTTPStatus  # noqa: PLC0415 - 0.8 MiB, and few statuses are rare

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


_PHRASES = {
    200: "OK",
    204: "No Content",
    304: "Not Modified",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
"""Those that a server says every day; RFC 9110, section 15."""


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of the chunked coding; RFC 9112, section 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


class Response:
    """A whole answer. One object may answer many requests: its head is rendered once.

    204 and 304 have no body; a HEAD request gets the head alone.
    """

    __slots__ = ("body", "head", "status")

    def __init__(self, status: int, body: bytes = b"", *, content_type: str = "", headers: Headers = ()) -> None:
        lines = [*headers]
        if content_type:
            lines.insert(0, ("content-type", content_type))
        if status not in (204, 304):
            lines.append(("content-length", str(len(body))))
        self.status = status
        self.body = body
        self.head = status_line(status) + header_lines(lines)


class StreamHead:
    """Status and headers of a stream, rendered once and shared by all streams of a route."""

    __slots__ = ("lines",)

    def __init__(self, content_type: str, headers: Headers = ()) -> None:
        anti_buffering = (("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no"))
        self.lines = status_line(200) + header_lines((("content-type", content_type), *anti_buffering, *headers))


class RelayedHead:
    """Status and headers of a stream as another server sent them; framing headers are the edge's."""

    __slots__ = ("lines",)

    def __init__(self, status: int, headers: Headers) -> None:
        self.lines = status_line(status) + header_lines(headers)


class PacedStream:
    """An answer whose frames and times are known ahead: no task, no timer of its own.

    `frames(chunked)` gives the frames, ready to send, in chunked coding or plain; `gaps` the seconds before each.
    A frame may also be a `Hold`, at which the stream waits, or a `Disconnect`, at which the connection breaks.
    `ended` is called once when the stream has ended, however it did.
    `endless` streams stop soon after the client closed its side. `comment` may be sent between frames to learn whether
    the client is still there, b"" where the format has none. `farewell` is the frame that ends a stream cut by a drain.
    Each frame is a token, but the last one, unless the stream `ends_in_token`.
    """

    __slots__ = ("comment", "ended", "endless", "ends_in_token", "farewell", "frames", "gaps", "head")

    def __init__(
        self,
        head: StreamHead,
        frames: Callable[[bool], Iterator[Item]],
        *,
        gaps: Iterator[float],
        endless: bool = False,
        comment: bytes = b"",
        farewell: bytes = b"",
    ) -> None:
        self.head = head
        self.frames = frames
        self.gaps = gaps
        self.ended: Callable[[], None] | None = None
        self.endless = endless
        self.ends_in_token = False
        self.comment = comment
        self.farewell = farewell


class SteadyStream(PacedStream):
    """A paced stream of frames that repeat, with one gap between all of them: its player holds two numbers for them.

    `words` repeat, `count` of them or without end for None; then comes `end`, if it holds a frame. `first_s` is the gap
    before the first, `gap_s` that before each other.
    """

    __slots__ = ("count", "end", "gap_s", "words")

    def __init__(
        self, head: StreamHead, words: CutFrames, *, end: CutFrames, count: int | None, first_s: float, gap_s: float
    ) -> None:
        super().__init__(head, self.repeated, gaps=chain((first_s,), repeat(gap_s)))
        self.words = words
        self.end = end
        self.count = count
        self.gap_s = gap_s
        self.endless = count is None

    def repeated(self, chunked: bool) -> Iterator[bytes]:
        """What is played, as `PacedStream` gives it."""
        endless = chain.from_iterable(repeat(self.words.coded(chunked)))
        return endless if self.count is None else chain(islice(endless, self.count), self.end.coded(chunked))


class LiveStream:
    """An answer that comes when it comes: the edge runs it in a task, and cancels that when the client leaves.

    `run` sends frame after frame and returns the last one, which is written together with the end of the body.
    `comment` is the heartbeat while the first frame is awaited. `farewell` as in `PacedStream`. When `run` raises
    before anything was sent, the application's `crashed` makes the answer; after that, `failure` makes the last frame.
    A stream that `breaks` has no frames for either: its connection is reset instead.
    When the client leaves and `goes_on` says so, `run` is not cancelled, but goes on with nobody to send to.
    A stream that is `announced` begins with its head and a comment at once. One whose frames are no tokens is not
    `counted`.
    """

    __slots__ = ("announced", "breaks", "comment", "counted", "failure", "farewell", "goes_on", "head", "run")

    def __init__(
        self,
        head: StreamHead | RelayedHead,
        run: Callable[[Send], Awaitable[bytes]],
        *,
        failure: Callable[[Exception], bytes],
        goes_on: Callable[[], bool] | None = None,
        comment: bytes = b"",
        farewell: bytes = b"",
    ) -> None:
        self.head = head
        self.run = run
        self.announced = False
        self.breaks = False
        self.counted = True
        self.failure = failure
        self.goes_on = goes_on
        self.comment = comment
        self.farewell = farewell


Answer = Response | PacedStream | LiveStream | Disconnect


class CutFrames:
    """Frames cut once and kept in both codings, to be played by any number of streams."""

    __slots__ = ("chunked", "plain")

    def __init__(self, frames: Iterable[bytes]) -> None:
        self.plain = tuple(frames)
        self.chunked = tuple(map(chunk, self.plain))

    def coded(self, chunked: bool) -> tuple[bytes, ...]:
        """All frames, in chunked coding or plain."""
        return self.chunked if chunked else self.plain
