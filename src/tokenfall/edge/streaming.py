"""How an answer that takes time is played on a connection.

A `PacedPlayer` is an entry of the wheel: no task, no timer. A `LivePlayer` is the one task of a connection: it
awaits the application, then the frames of a live stream. Neither knows what a frame says.
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from tokenfall.edge.application import Outcome
from tokenfall.edge.request import Request
from tokenfall.edge.response import LAST_CHUNK, Answer, LiveStream, PacedStream, chunk
from tokenfall.ports import Timed

if TYPE_CHECKING:
    from tokenfall.edge.connection import Connection
    from tokenfall.edge.server import Edge

PROBE_AGAIN_S = 0.05
"""A client that is gone answers the first write after its FIN with a reset; the second write sees it."""

_CLIENT_CLOSED_REQUEST = 499

_log = logging.getLogger(__name__)


class Player(Protocol):
    """What a connection needs of whatever plays its answer."""

    status: int
    """The status sent, 499 while none was."""
    sent_bytes: int
    """Bytes of the body handed to the kernel or the transport."""

    def half_closed(self) -> bool:
        """The client closed its side: True to go on."""
        ...

    def resume(self) -> None:
        """The connection may be written to again."""
        ...

    def stop(self) -> None:
        """The connection is gone: free everything at once, write nothing."""
        ...

    def cut(self) -> None:
        """End now, saying so where the format can."""
        ...


class PacedPlayer:
    """Plays ready frames at times known ahead.

    Its deadlines are absolute: a late frame does not make the next one late.
    """

    __slots__ = (
        "_chunked", "_comment", "_connection", "_deadline_s", "_edge", "_endless", "_farewell", "_frame",
        "_frames", "_gaps", "_last_s", "_metrics", "_started_s", "sent_bytes", "slot", "status",
    )  # fmt: skip

    def __init__(self, connection: "Connection", edge: "Edge", *, request: Request, stream: PacedStream) -> None:
        self.status = 200
        self.sent_bytes = 0
        self.slot: dict[Timed, None] | None = None
        self._connection = connection
        self._edge = edge
        self._metrics = edge.metrics
        self._chunked = request.http_minor == 1
        self._frames = stream.frames(self._chunked)
        self._gaps = stream.gaps
        self._endless = stream.endless
        self._comment = stream.comment
        self._farewell = stream.farewell
        self._frame = next(self._frames, None)
        self._started_s = request.started_s
        self._last_s = 0.0
        self._deadline_s = 0.0

    def start(self, head: bytes) -> None:
        """Write the head and wait for the first frame's time, counted from the request."""
        self._connection.begin_stream()
        self._metrics.streams += 1
        self._connection.transport.write(head)
        self._deadline_s = self._started_s + next(self._gaps)
        if not self._connection.paused:
            self._edge.wheel.join(self, self._deadline_s)

    def due(self, now_s: float) -> float | None:
        """Write the next frame; the wheel's call."""
        frame = self._frame
        if frame is None:
            self._end(b"", "complete")
            return None
        self._frame = following = next(self._frames, None)
        if following is None:
            self._end(frame, "complete")
            return None
        connection = self._connection
        connection.send(frame)
        metrics = self._metrics
        metrics.tokens += 1
        if self._last_s:
            metrics.inter_token_s.observe(now_s - self._last_s)
        else:
            metrics.ttft_s.observe(now_s - self._started_s)
        self._last_s = now_s
        self.sent_bytes += len(frame)
        self._deadline_s = deadline_s = self._deadline_s + next(self._gaps)
        return None if connection.paused or connection.closed else deadline_s  # parked until resume, or gone

    def _end(self, frame: bytes, outcome: Outcome) -> None:
        """Write the last frame and the end of the body as one."""
        self.stop()
        if self._chunked:
            frame += LAST_CHUNK
        self._connection.transport.write(frame)
        self._connection.end_stream(outcome, self.sent_bytes + len(frame))

    def half_closed(self) -> bool:
        if self._endless:
            self._connection.stop_soon()
        if self._comment:
            self._probe()
            self._edge.loop.call_later(PROBE_AGAIN_S, self._probe)
        return True

    def _probe(self) -> None:
        if self._connection.plays(self) and not self._connection.paused:
            self._connection.transport.write(chunk(self._comment) if self._chunked else self._comment)

    def resume(self) -> None:
        self._edge.wheel.join(self, self._deadline_s)

    def stop(self) -> None:
        self._edge.wheel.leave(self)
        self._metrics.streams -= 1

    def cut(self) -> None:
        if self._connection.paused:
            self._connection.abort("cut")
        else:
            farewell = self._farewell
            self._end(chunk(farewell) if self._chunked and farewell else farewell, "cut")


class LivePlayer:
    """Awaits an answer and, if it is a live stream, its frames. While the first is awaited, says that it lives."""

    __slots__ = (
        "_chunked", "_comment", "_connection", "_cut", "_edge", "_head", "_last_s", "_request", "_task", "_wakeup",
        "sent_bytes", "slot", "status",
    )  # fmt: skip

    def __init__(
        self,
        connection: "Connection",
        edge: "Edge",
        *,
        request: Request,
        answer: LiveStream | Coroutine[Any, Any, Answer],
    ) -> None:
        self.status = _CLIENT_CLOSED_REQUEST
        self.sent_bytes = 0
        self.slot: dict[Timed, None] | None = None
        self._connection = connection
        self._edge = edge
        self._request = request
        self._head = b""  # of a stream, while it is unsent
        self._comment = b""
        self._chunked = True
        self._last_s = 0.0
        self._cut = False
        self._wakeup: asyncio.Future[None] | None = None
        self._task = edge.loop.create_task(self._run(answer))

    async def _run(self, awaited: LiveStream | Coroutine[Any, Any, Answer]) -> None:
        connection, request = self._connection, self._request
        application = self._edge.application
        try:
            answer = awaited if isinstance(awaited, LiveStream) else await awaited
            if isinstance(answer, LiveStream):
                await self._play(answer)
                return
        except asyncio.CancelledError:
            if not self._cut:
                raise
            answer = application.refuse(request, 503, detail="the server is shutting down")
        except Exception as error:  # noqa: BLE001 - the application says what becomes of it
            answer = application.crashed(request, error)
        if not connection.closed:
            connection.play(request, answer)

    async def _play(self, stream: LiveStream) -> None:
        connection, edge, request = self._connection, self._edge, self._request
        self._chunked = request.http_minor == 1
        self._head = connection.stream_head(request, stream.head)
        connection.begin_stream()
        if request.method == "HEAD":
            self._write(b"")
            connection.end_stream("complete", 0)
            return
        self._comment = chunk(stream.comment) if stream.comment and self._chunked else stream.comment
        if self._comment:
            edge.wheel.join(self, request.started_s + edge.bounds.heartbeat_s)
        edge.metrics.streams += 1
        outcome: Outcome = "complete"
        try:
            last = await stream.run(self._send)
        except asyncio.CancelledError:
            if not self._cut:
                raise
            outcome, last = "cut", stream.farewell
        except Exception as error:
            if self._head:
                raise
            outcome, last = "failed", stream.failure(error)
        finally:
            edge.metrics.streams -= 1
            edge.wheel.leave(self)
        self._end(last, outcome)

    def _send(self, frame: bytes) -> Awaitable[None] | None:
        """Send one frame of the stream; see `Send`."""
        metrics = self._edge.metrics
        self._write(chunk(frame) if self._chunked else frame)
        now_s = self._edge.wheel.now()
        if self._last_s:
            metrics.inter_token_s.observe(now_s - self._last_s)
        else:
            self._edge.wheel.leave(self)  # no more heartbeats
            metrics.ttft_s.observe(now_s - self._request.started_s)
        self._last_s = now_s
        metrics.tokens += 1
        return self._room() if self._connection.paused else None

    def _room(self) -> Awaitable[None]:
        """Until the client has taken all."""
        if self._wakeup is None:
            self._wakeup = self._edge.loop.create_future()
        return self._wakeup

    def _write(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        if self._head:
            data, self._head = self._head + data, b""
            self.status = 200
        self._connection.send(data)

    def _end(self, frame: bytes, outcome: Outcome) -> None:
        """Write the last frame, if there is one, and the end of the body."""
        connection = self._connection
        if connection.closed:
            return
        if connection.paused:  # the client reads nothing: there is no room for another word
            connection.abort(outcome)
            return
        if self._request.http_minor == 1:
            frame = chunk(frame) + LAST_CHUNK if frame else LAST_CHUNK
        self._write(frame)
        connection.end_stream(outcome, self.sent_bytes)

    def due(self, now_s: float) -> float | None:
        """The wheel's call: say that the stream lives."""
        if not self._connection.paused:
            self._write(self._comment)
        return now_s + self._edge.bounds.heartbeat_s

    def half_closed(self) -> bool:
        """Go on only where a comment can tell a half-close from a client that left."""
        if self.status != 200 or not self._comment:
            return False
        self._probe()
        self._edge.loop.call_later(PROBE_AGAIN_S, self._probe)
        return True

    def _probe(self) -> None:
        if self._connection.plays(self) and not self._connection.paused:
            self._connection.transport.write(self._comment)

    def resume(self) -> None:
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None and not wakeup.done():
            wakeup.set_result(None)

    def stop(self) -> None:
        self._edge.wheel.leave(self)
        self._task.cancel()

    def cut(self) -> None:
        self._cut = True
        self._task.cancel()
