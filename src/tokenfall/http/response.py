"""The kinds of responses. Created by the application, sent by the server."""

from __future__ import annotations

from itertools import chain, count, repeat

from tokenfall.disconnect import Disconnect
from tokenfall.http.encoding import chunk, header_lines, status_line
from tokenfall.http.loadable import Loadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
    from typing import Protocol

    from tokenfall.http.application import Outcome
    from tokenfall.memory.leases import ResponseMemory
    from tokenfall.ports import Barrier

    Item = bytes | Barrier | Disconnect
    """An element of a paced stream: a frame, a wait, or a disconnect."""

    Headers = Sequence[tuple[str, str]]

    class Numbered(Protocol):
        """Frames by index."""

        def __getitem__(self, number: int, /) -> bytes: ...

    class Send(Protocol):
        """Sends a frame. If it returns an awaitable, the client is slow: await it before the next frame."""

        def __call__(self, frame: bytes, /, *, is_token: bool = True) -> Awaitable[None] | None:
            """`is_token`: count the frame as a token in the metrics."""


class Response:
    """A complete response. One object may be sent to many requests: its head is encoded once.

    204 and 304 have no body; a HEAD request gets the head only.
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
    """Status and headers of a stream, encoded once and shared by all streams of a route."""

    __slots__ = ("lines",)

    def __init__(self, content_type: str) -> None:
        anti_buffering = (("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no"))
        self.lines = status_line(200) + header_lines((("content-type", content_type), *anti_buffering))


class RelayedHead:
    """Status and headers of a stream relayed from another server; the HTTP server adds its own framing headers."""

    __slots__ = ("lines",)

    def __init__(self, status: int, headers: Headers) -> None:
        self.lines = status_line(status) + header_lines(headers)


class TimedStream:
    """A response whose frames and times are known in advance; it needs no task and no timer of its own.

    `ended` is called each time a player of the stream ends, with any outcome. An `endless` stream stops soon after a
    half-close. `keepalive` may be sent between frames to detect whether the client still reads; b"" if the format has
    none. `shutdown_frame` makes the last frame of a stream that a drain ends early. Its argument is the next frame,
    which is not sent; it may be chunked, and is b"" if there is none. Every frame but the last is a token; the last one
    is a token if `ends_in_token`.
    """

    __slots__ = ("ended", "endless", "ends_in_token", "head", "keepalive", "shutdown_frame")

    def __init__(self, head: StreamHead, *, endless: bool, keepalive: bytes) -> None:
        self.head = head
        self.ended: Callable[[], None] | None = None
        self.endless = endless
        self.ends_in_token = False
        self.keepalive = keepalive
        self.shutdown_frame: Callable[[bytes], bytes] = no_frame


def no_frame(_next_frame: bytes) -> bytes:
    """`shutdown_frame` of a format without such a frame."""
    return b""


class PacedStream(TimedStream):
    """Frames with any gaps, played once.

    `frames(chunked)` yields the encoded frames, in chunked coding or plain; `gaps` the seconds before each.
    An item may also be a `Barrier`, at which the stream waits, or a `Disconnect`, which breaks the connection.
    """

    __slots__ = ("frames", "gaps", "outcome")

    def __init__(
        self,
        head: StreamHead,
        frames: Callable[[bool], Iterator[Item]],
        *,
        gaps: Iterator[float],
        endless: bool = False,
        keepalive: bytes = b"",
    ) -> None:
        super().__init__(head, endless=endless, keepalive=keepalive)
        self.frames = frames
        self.gaps = gaps
        self.outcome: Outcome = "complete"
        """The outcome after the last frame: `failed` if that is an error."""


class SteadyStream(TimedStream):
    """Frames with an index, at one constant gap: the player's only state is the index.

    `first_s` is the gap before the first frame, `gap_s` the gap before each other. `before_last` frames are sent before
    the last one, None for an endless stream; then `last_frame` is sent together with the end of the body. The frames
    repeat after `period` frames.
    """

    __slots__ = ("before_last", "first_s", "gap_s", "period")

    def __init__(self, head: StreamHead, *, period: int, before_last: int | None, first_s: float, gap_s: float) -> None:
        super().__init__(head, endless=before_last is None, keepalive=b"")
        self.period = period
        self.before_last = before_last
        self.first_s = first_s
        self.gap_s = gap_s

    @property
    def gaps(self) -> Iterator[float]:
        """As in `PacedStream`; a new iterator on each access."""
        return chain((self.first_s,), repeat(self.gap_s))

    def frames(self, chunked: bool) -> Iterator[bytes]:
        """As in `PacedStream`."""
        frames = self.numbered(chunked)
        for number in count() if self.before_last is None else range(self.before_last):
            yield frames[number % self.period]
        last = self.last_frame(chunked)
        if last:
            yield last

    def numbered(self, chunked: bool) -> Numbered:
        """The frames 0 to `period` - 1, in chunked coding or plain."""
        raise NotImplementedError

    def last_frame(self, chunked: bool) -> bytes:
        """The last frame; b"" if there is none."""
        raise NotImplementedError

    def size_bytes(self, frames: int, *, chunked: bool) -> int:
        """Total size of the first `frames` frames."""
        raise NotImplementedError


class RepeatedStream(SteadyStream):
    """A steady stream that may be played any number of times, also concurrently.

    It repeats `word_frames`, up to `count` frames, endlessly if None; then it sends `end`, if that has a frame.
    """

    __slots__ = ("_count", "_end", "_frames")

    def __init__(
        self,
        head: StreamHead,
        word_frames: EncodedFrames,
        *,
        end: EncodedFrames,
        count: int | None,
        first_s: float,
        gap_s: float,
    ) -> None:
        in_token = bool(count) and not end.plain
        before_last = count - 1 if count and in_token else count  # the last word is sent with the end of the body
        super().__init__(head, period=len(word_frames.plain), before_last=before_last, first_s=first_s, gap_s=gap_s)
        self.ends_in_token = in_token
        self._frames = word_frames
        self._end = end
        self._count = count

    def numbered(self, chunked: bool) -> tuple[bytes, ...]:
        return self._frames.coded(chunked)

    def last_frame(self, chunked: bool) -> bytes:
        if self.ends_in_token and self._count:
            return self._frames.coded(chunked)[(self._count - 1) % self.period]
        return b"".join(self._end.coded(chunked))

    def size_bytes(self, frames: int, *, chunked: bool) -> int:
        sizes = list(map(len, self._frames.coded(chunked)))
        rounds, remainder = divmod(frames, self.period)
        return rounds * sum(sizes) + sum(sizes[:remainder])


class LiveStream:
    """A response whose frames are produced at run time, in a task that is cancelled when the client disconnects.

    `run` sends the frames and returns the last one, which is written together with the end of the body. `keepalive` is
    sent at intervals until the first frame. If `run` raises before anything was sent, the application's `crashed` makes
    the response; after that, `failure` makes the last frame, also for a drain (`ShuttingDown`). If `breaks`, the format
    has no such frame, and the connection is reset instead. If `on_disconnect` returns True when the
    client disconnects, `run` is not cancelled and its frames are discarded. An `announced` stream sends its head and a
    keepalive at once. If not `counted`, the metrics do not include the stream, and its frames are not tokens. An
    `is_large` one is sent as fast as the client reads it, so its connection gets the send buffer of large bodies. Large
    frames that the kernel has not accepted yet are counted in `memory`, if it is set, for `caller`.

    `ended` is called once `run` has ended, with any outcome, and also if it is not called. It releases what `run` uses.
    """

    __slots__ = (
        "announced", "breaks", "caller", "counted", "ended", "failure", "head", "is_large", "keepalive", "memory",
        "on_disconnect", "run",
    )  # fmt: skip

    def __init__(
        self,
        head: StreamHead | RelayedHead,
        run: Callable[[Send], Awaitable[bytes]],
        *,
        failure: Callable[[Exception], bytes],
        on_disconnect: Callable[[], bool] | None = None,
        keepalive: bytes = b"",
    ) -> None:
        self.head = head
        self.is_large = False
        self.run = run
        self.announced = False
        self.breaks = False
        self.counted = True
        self.memory: ResponseMemory | None = None
        self.caller = ""
        self.ended: Callable[[], None] | None = None
        self.failure = failure
        self.on_disconnect = on_disconnect
        self.keepalive = keepalive

    def close(self) -> None:
        """Call `ended`, unless it was called before."""
        ended, self.ended = self.ended, None
        if ended is not None:
            ended()


AnyResponse = Response | TimedStream | LiveStream | Disconnect | Loadable
"""Result of `Application.respond`. After a `Loadable` is loaded, the server calls `Application.respond_when_loaded`."""


class EncodedFrames:
    """Frames encoded once, plain and in chunked coding, for any number of streams."""

    __slots__ = ("chunked", "plain")

    def __init__(self, frames: Iterable[bytes]) -> None:
        self.plain = tuple(frames)
        self.chunked = tuple(map(chunk, self.plain))

    def coded(self, chunked: bool) -> tuple[bytes, ...]:
        """All frames, in chunked coding or plain."""
        return self.chunked if chunked else self.plain
