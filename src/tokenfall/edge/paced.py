"""Plays an answer whose frames and times are known ahead: an entry of the wheel, no task and no timer."""

from bisect import bisect_left

from tokenfall import logs
from tokenfall.disconnect import Disconnect
from tokenfall.edge.response import LAST_CHUNK, chunk
from tokenfall.metrics import LATENCY_BOUNDS_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenfall.edge.application import Outcome
    from tokenfall.edge.connection import Connection
    from tokenfall.edge.request import Request
    from tokenfall.edge.response import Item, PacedStream, SteadyStream
    from tokenfall.edge.server import Edge

_log = logs.get(__name__)


class PacedPlayer:
    """A `Player`. Its deadlines are absolute: a late frame does not make the next one late."""

    __slots__ = (
        "_chunked", "_comment", "_connection", "_edge", "_ended", "_endless", "_ends_in_token", "_farewell", "_frame",
        "_frames", "_gaps", "_last_s", "_started_s", "deadline_s", "metrics", "sent_bytes", "slot", "status",
    )  # fmt: skip

    def __init__(self, connection: "Connection", edge: "Edge", *, request: "Request", stream: "PacedStream") -> None:
        self.status = 200
        self.sent_bytes = 0
        self.slot: int | None = None
        self._connection = connection
        self._edge = edge
        self.metrics = edge.metrics
        self._chunked = request.http_minor == 1
        self._frames = stream.frames(self._chunked)
        self._gaps = stream.gaps
        self._ended = stream.ended
        self._endless = stream.endless
        self._ends_in_token = stream.ends_in_token
        self._comment = stream.comment
        self._farewell = stream.farewell
        self._frame = next(self._frames, None)
        self._started_s = request.started_s
        self._last_s = 0.0
        self.deadline_s = 0.0

    def start(self, head: bytes) -> None:
        """Write the head and wait for the first frame's time, counted from the request."""
        self.metrics.streams += 1
        self._connection.write(head)
        self.deadline_s = self._started_s + next(self._gaps)
        if not self._connection.paused:
            self._edge.wheel.join(self, self.deadline_s)

    def due(self, now_s: float) -> float | None:
        """Write the next frame; the wheel's call."""
        try:
            frame = self._frame
            if frame.__class__ is bytes:
                self._frame = following = next(self._frames, None)
                if following is not None or self._ends_in_token:
                    self._count(now_s)
                if following is not None:
                    self.sent_bytes += len(frame)
                    self.deadline_s = deadline_s = self.deadline_s + next(self._gaps)
                    return deadline_s if self._connection.send(frame) else None  # parked until resume
            elif frame is not None:
                return self._act(frame)
            self._end(frame or b"", "complete")
        except Exception:  # noqa: BLE001 - a stream that stands still in silence helps nobody
            _log.exception("a paced stream failed")
            self._connection.reset("failed")
        return None

    def _act(self, item: "Item") -> float | None:
        """Wait, or break off."""
        connection = self._connection
        if isinstance(item, Disconnect):
            if item.how == "reset":
                connection.reset("failed")
            else:
                self.stop()
                connection.end_stream("failed", self.sent_bytes, keep=False)
            return None
        if isinstance(item, bytes) or not item.passes(self._released):
            return None
        self._frame = next(self._frames, None)
        self.deadline_s = self._edge.wheel.now() + next(self._gaps)
        return self.deadline_s

    def _released(self) -> None:
        """What was waited for may be there: ask again, in the wheel's own time."""
        self.deadline_s = self._edge.wheel.now()
        if not self._connection.paused:
            self._edge.wheel.join(self, self.deadline_s)

    def _count(self, now_s: float) -> None:
        metrics = self.metrics
        metrics.tokens += 1
        if self._last_s:
            metrics.inter_token_s.observe(now_s - self._last_s)
        else:
            metrics.ttft_s.observe(now_s - self._started_s)
        self._last_s = now_s

    def _end(self, frame: bytes, outcome: "Outcome") -> None:
        """Write the last frame and the end of the body as one."""
        self.stop()
        if self._chunked:
            frame += LAST_CHUNK
        self.sent_bytes += len(frame)
        self._connection.write(frame)
        self._connection.end_stream(outcome, self.sent_bytes)

    def half_closed(self) -> bool:
        if self._endless:
            self._connection.give_up_soon(self)
        if self._comment:
            self._connection.probe(self, chunk(self._comment) if self._chunked else self._comment)
        return True

    def resume(self) -> None:
        self._edge.wheel.join(self, self.deadline_s)

    def stop(self) -> None:
        self._edge.wheel.leave(self)
        self.metrics.streams -= 1
        frame = self._frame
        if frame is not None and not isinstance(frame, (bytes, Disconnect)):
            frame.forget(self._released)
        if self._ended is not None:
            self._ended()

    def cut(self) -> None:
        farewell = self._farewell
        self._end(chunk(farewell) if self._chunked and farewell else farewell, "cut")


class SteadyPlayer(PacedPlayer):
    """Plays a `SteadyStream`: what a token of a load test costs is spent in `due`, which therefore makes few calls."""

    __slots__ = ("_at", "_gap_s", "_last", "_left", "_words")

    def __init__(self, connection: "Connection", edge: "Edge", *, request: "Request", stream: "SteadyStream") -> None:
        super().__init__(connection, edge, request=request, stream=stream)
        self._words = words = stream.words.coded(self._chunked)
        end = stream.end.coded(self._chunked)
        self._frame = None
        self._frames = _NO_FRAMES
        self._gap_s = stream.gap_s
        self._at = 0
        count = -1 if stream.count is None else stream.count
        if count > 0 and not end:  # the last word goes out with the end of the body
            self._left, self._last = count - 1, words[(count - 1) % len(words)]
        else:
            self._left, self._last = count, b"".join(end)
            self._ends_in_token = False

    def start(self, head: bytes) -> None:
        super().start(head)
        self._gaps = _NO_GAPS

    def due(self, now_s: float) -> float | None:
        try:
            left = self._left
            if not left:
                if self._ends_in_token:
                    self._count(now_s)
                self._end(self._last, "complete")
                return None
            if left > 0:
                self._left = left - 1
            words, at = self._words, self._at
            frame = words[at]
            at += 1
            self._at = at if at < len(words) else 0
            metrics = self.metrics
            metrics.tokens += 1
            last_s, self._last_s = self._last_s, now_s
            if last_s:
                gap_s = now_s - last_s
                inter_token_s = metrics.inter_token_s
                inter_token_s.counts[bisect_left(LATENCY_BOUNDS_S, gap_s)] += 1
                inter_token_s.total += gap_s
            else:
                metrics.ttft_s.observe(now_s - self._started_s)
            self.sent_bytes += len(frame)
            self.deadline_s = deadline_s = self.deadline_s + self._gap_s
            return deadline_s if self._connection.send(frame) else None  # parked until resume
        except Exception:  # noqa: BLE001 - a stream that stands still in silence helps nobody
            _log.exception("a paced stream failed")
            self._connection.reset("failed")
        return None


_NO_FRAMES: "Iterator[Item]" = iter(())
_NO_GAPS: "Iterator[float]" = iter(())
