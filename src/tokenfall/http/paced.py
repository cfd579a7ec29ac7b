"""Sends streams whose frames and times are known in advance: one timer wheel entry each, no task and no timer.

Created by `Connection`. It must not depend on the meaning of a frame.
"""

from bisect import bisect_left
from os import write

from tokenfall import logs
from tokenfall.disconnect import Disconnect
from tokenfall.http.encoding import LAST_CHUNK, chunk
from tokenfall.http.half_closed import give_up_soon, probe
from tokenfall.metrics.registry import LATENCY_BOUNDS_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.application import Outcome
    from tokenfall.http.connection import Connection
    from tokenfall.http.request import Request
    from tokenfall.http.response import Item, PacedStream, SteadyStream, TimedStream
    from tokenfall.http.server import HTTPServer
    from tokenfall.metrics.registry import Metrics

_log = logs.get(__name__)


class _TimedPlayer:
    """Common part of the players of a `TimedStream`. Deadlines are absolute: a late frame does not delay the next."""

    __slots__ = ("_chunked", "_connection", "_last_s", "_server", "_stream", "deadline_s", "slot")

    status = 200
    sent_bytes: int

    def __init__(
        self, connection: "Connection", server: "HTTPServer", *, request: "Request", stream: "TimedStream"
    ) -> None:
        self.slot: int | None = None
        self.deadline_s = 0.0
        self._connection = connection
        self._server = server
        self._stream = stream
        self._chunked = request.http_minor == 1
        self._last_s = request.started_s
        """Time of the last token; of the request before the first token."""

    @property
    def metrics(self) -> "Metrics":
        """See `Player`."""
        return self._server.metrics

    def start(self, head: bytes) -> None:
        """Write the head and schedule the first frame, relative to the start of the request.

        If that time has passed, because of lazy loading or planning, the first frame is sent now; the gaps between the
        frames do not change.
        """
        self._server.metrics.streams += 1
        self._connection.write(head)
        self.deadline_s = max(self._last_s + self._first_gap_s(), self._server.wheel.now())
        if not self._connection.paused:
            self._server.wheel.schedule(self, self.deadline_s)

    def due(self, now_s: float) -> float | None:
        """Write the next frame; called by the timer wheel."""
        raise NotImplementedError

    def _first_gap_s(self) -> float:
        raise NotImplementedError

    def _count(self, now_s: float, *, is_first: bool) -> None:
        metrics = self._server.metrics
        metrics.tokens += 1
        (metrics.ttft_s if is_first else metrics.inter_token_s).observe(now_s - self._last_s)
        self._last_s = now_s

    def _end(self, frame: bytes, outcome: "Outcome") -> None:
        """Write the last frame and the end of the body in one write."""
        self.stop()
        if self._chunked:
            frame += LAST_CHUNK
        self._connection.write(frame)
        self._connection.end_stream(outcome, self.sent_bytes + len(frame))

    def half_closed(self) -> bool:
        if self._stream.endless:
            give_up_soon(self._connection, self, after_s=self._server.bounds.half_close_grace_s)
        keepalive = self._stream.keepalive
        if keepalive:
            probe(self._connection, self, keepalive=chunk(keepalive) if self._chunked else keepalive)
        return True

    def pause(self) -> None:
        self._server.wheel.cancel(self)

    def resume(self) -> None:
        self._server.wheel.schedule(self, self.deadline_s)

    def stop(self) -> None:
        self._server.wheel.cancel(self)
        self._server.metrics.streams -= 1
        if self._stream.ended is not None:
            self._stream.ended()

    def cut(self) -> None:
        try:
            frame = self._stream.shutdown_frame(self._next_frame())
        except Exception:  # noqa: BLE001 - otherwise the drain would not end the other streams
            _log.exception("encoding the shutdown frame of a stream failed")
            self._connection.reset("failed")
            return
        self._end(chunk(frame) if self._chunked and frame else frame, "cut")

    def _next_frame(self) -> bytes:
        """The frame that is due next, which may be chunked; b"" if there is none."""
        raise NotImplementedError


class PacedPlayer(_TimedPlayer):
    """Plays a `PacedStream`."""

    __slots__ = ("_frame", "_frames", "_gaps", "sent_bytes")

    _stream: "PacedStream"

    def __init__(
        self, connection: "Connection", server: "HTTPServer", *, request: "Request", stream: "PacedStream"
    ) -> None:
        super().__init__(connection, server, request=request, stream=stream)
        self.sent_bytes = 0
        self._frames = stream.frames(self._chunked)
        self._gaps = stream.gaps
        self._frame = next(self._frames, None)

    def _first_gap_s(self) -> float:
        return next(self._gaps)

    def due(self, now_s: float) -> float | None:
        try:
            frame = self._frame
            if frame.__class__ is bytes:
                self._frame = following = next(self._frames, None)
                if following is not None or self._stream.ends_in_token:
                    self._count(now_s, is_first=not self.sent_bytes)
                if following is not None:
                    self.sent_bytes += len(frame)
                    self.deadline_s = deadline_s = self.deadline_s + next(self._gaps)
                    return deadline_s if self._connection.send(frame) else None  # paused until `resume`
            elif frame is not None:
                return self._execute(frame)
            self._end(frame or b"", self._stream.outcome)
        except Exception:  # noqa: BLE001 - otherwise the stream would hang
            _log.exception("a paced stream failed")
            self._connection.reset("failed")
        return None

    def _next_frame(self) -> bytes:
        item = self._frame
        if item is not None and not isinstance(item, bytes):
            item = next(self._frames, None)  # the frame after the barrier
        return item if isinstance(item, bytes) else b""

    def _execute(self, item: "Item") -> float | None:
        """Wait at a barrier, or disconnect."""
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
        self.deadline_s = self._server.wheel.now() + next(self._gaps)
        return self.deadline_s

    def _released(self) -> None:
        """Called by the barrier: check it again in a call from the timer wheel."""
        self.deadline_s = self._server.wheel.now()
        if not self._connection.paused:
            self._server.wheel.schedule(self, self.deadline_s)

    def stop(self) -> None:
        super().stop()
        frame = self._frame
        if frame is not None and not isinstance(frame, (bytes, Disconnect)):
            frame.cancel_wait(self._released)


class SteadyPlayer(_TimedPlayer):
    """Plays a `SteadyStream`. `due` is most of the cost of a token under load, so it makes few calls.

    It is on the timer wheel only while its connection is open and not paused, so it writes to the descriptor itself:
    with thousands of streams, `Connection` would have to be loaded into the processor's cache for each token.
    """

    __slots__ = ("_fd", "_frames", "_played")

    _stream: "SteadyStream"

    def __init__(
        self, connection: "Connection", server: "HTTPServer", *, request: "Request", stream: "SteadyStream"
    ) -> None:
        super().__init__(connection, server, request=request, stream=stream)
        self._frames = stream.numbered(self._chunked)
        self._played = 0
        self._fd = connection.fd

    def _first_gap_s(self) -> float:
        return self._stream.first_s

    @property
    def sent_bytes(self) -> int:  # type: ignore[override]
        """See `Player`. Computed on access, once per stream."""
        return self._stream.size_bytes(self._played, chunked=self._chunked)

    def _next_frame(self) -> bytes:
        stream, played = self._stream, self._played
        if played == stream.before_last:
            return stream.last_frame(self._chunked)
        return self._frames[played % stream.period]

    def due(self, now_s: float) -> float | None:
        try:
            stream, played = self._stream, self._played
            if played == stream.before_last:
                if stream.ends_in_token:
                    self._count(now_s, is_first=not played)
                self._end(stream.last_frame(self._chunked), "complete")
                return None
            self._played = played + 1
            metrics = self._server.metrics
            metrics.tokens += 1
            passed_s = now_s - self._last_s
            self._last_s = now_s
            if played:
                inter_token_s = metrics.inter_token_s
                inter_token_s.counts[bisect_left(LATENCY_BOUNDS_S, passed_s)] += 1
                inter_token_s.total += passed_s
            else:
                metrics.ttft_s.observe(passed_s)
            self.deadline_s = deadline_s = self.deadline_s + stream.gap_s
            frame = self._frames[played % stream.period]
            try:
                sent = write(self._fd, frame)
            except OSError:
                sent = 0
            if sent == len(frame) or self._connection.send(frame[sent:]):  # `send` handles slow and closed clients
                return deadline_s
        except Exception:  # noqa: BLE001 - otherwise the stream would hang
            _log.exception("a paced stream failed")
            self._connection.reset("failed")
        return None
