"""Awaits a response, and sends it if it is a live stream, in the one task that a connection may have.

Created by `Connection`; imported lazily, because it imports asyncio.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left

from tokenfall import logs
from tokenfall.errors import shutting_down
from tokenfall.http.application import CLIENT_CLOSED_REQUEST
from tokenfall.http.encoding import LAST_CHUNK, chunk
from tokenfall.http.half_closed import probe
from tokenfall.http.response import LiveStream
from tokenfall.metrics.registry import LATENCY_BOUNDS_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine
    from typing import Any

    from tokenfall.http.application import Outcome
    from tokenfall.http.connection import Connection
    from tokenfall.http.request import Request
    from tokenfall.http.response import AnyResponse
    from tokenfall.http.server import HTTPServer

_log = logs.get(__name__)

LARGE_FRAME_BYTES = 65_536
"""Larger frames are counted while they wait for a slow client."""


class LivePlayer:
    """A `Player` for awaited responses. It sends keepalives until the first frame of a live stream."""

    __slots__ = (
        "_awaited",
        "_chunked",
        "_connection",
        "_cut",
        "_detached",
        "_half_closed",
        "_last_s",
        "_request",
        "_server",
        "_stream",
        "_task",
        "_unsent",
        "_wakeup",
        "deadline_s",
        "metrics",
        "sent_bytes",
        "slot",
        "status",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        server: HTTPServer,
        *,
        request: Request,
        response: LiveStream | Coroutine[Any, Any, AnyResponse],
    ) -> None:
        self.status = CLIENT_CLOSED_REQUEST
        self.sent_bytes = 0
        self.slot: int | None = None
        self.deadline_s = 0.0
        self.metrics = server.metrics
        self._connection = connection
        self._server = server
        self._request = request
        self._awaited: LiveStream | Coroutine[Any, Any, AnyResponse] | None = response
        self._stream: LiveStream | None = None
        self._chunked = request.http_minor == 1
        self._last_s = 0.0
        self._half_closed = False
        self._detached = False  # the client disconnected, but the stream's `run` continues
        self._cut = False
        self._unsent = b""  # written before the loop waits again
        self._wakeup: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = server.reactor.spawn(self._run())

    async def _run(self) -> None:
        try:
            connection, request = self._connection, self._request
            application = self._server.application
            awaited, self._awaited = self._awaited, None
            if awaited is None:  # a defect of the application
                _log.error("request %s: the application returned no response", request.id)
                connection.reset("failed")
                return
            try:
                response = awaited if isinstance(awaited, LiveStream) else await awaited
                awaited = None  # a reference to a finished coroutine keeps its frame alive
                if isinstance(response, LiveStream):
                    self._stream = response
                    await self._play(response)
                    return
            except asyncio.CancelledError:
                if not self._cut or self.status == 200:
                    raise
                response = application.cut(request)
            except Exception as error:  # noqa: BLE001 - the application makes the error response
                if self.status == 200:
                    _log.exception("a stream failed, and encoding its error frame failed too")
                    connection.reset("failed")
                    return
                response = application.crashed(request, error)
            if not connection.closed:
                connection.play_awaited(request, response)
        finally:
            self._task = None  # break the reference cycle through a stored exception and its traceback

    async def _play(self, stream: LiveStream) -> None:
        connection, server, request = self._connection, self._server, self._request
        request.drop_content()
        if request.method == "HEAD":
            stream.close()
            self._send_now(b"")
            connection.end_stream("complete", 0)
            return
        self._open(stream)
        metrics = self.metrics
        metrics.streams += 1
        outcome: Outcome = "complete"
        try:
            last = await stream.run(self._send)
            if len(last) > LARGE_FRAME_BYTES:
                self._send(last, is_token=False)
                last = b""
        except asyncio.CancelledError:
            self._flush()
            if not self._cut or self.status != 200:
                raise
            outcome, last = "cut", stream.failure(shutting_down())
        except Exception as error:
            self._flush()
            if self.status != 200 and not self._detached:
                raise
            outcome, last = "failed", stream.failure(error)
        finally:
            if not self._detached:
                metrics.streams -= 1
            server.wheel.cancel(self)
            stream.on_disconnect = None  # the run has ended
            stream.close()
        self._end(last, outcome)

    def _open(self, stream: LiveStream) -> None:
        """Prepare for the first frame: keepalives, the probe after a half-close, the head of an announced stream."""
        if stream.keepalive:
            self._server.wheel.schedule(self, self._request.started_s + self._server.bounds.heartbeat_s)
            if self._half_closed:
                self._probe_client(stream.keepalive)
        if stream.announced:
            self._write(self._coded(stream.keepalive))
        if not stream.counted:
            self.metrics = self._server.uncounted

    def _send(self, frame: bytes, /, *, is_token: bool = True) -> Awaitable[None] | None:
        """Send one frame of the stream; see `Send`."""
        if self._detached:
            return None
        data = b"%x\r\n%b\r\n" % (len(frame), frame) if self._chunked else frame  # `chunk`, inlined
        server = self._server
        if self._unsent or len(data) > server.bounds.send_buffer_bytes:
            (self._write if len(data) <= LARGE_FRAME_BYTES else self._write_counted)(data)
        else:  # `_write`, inlined
            self._unsent = data
            server.reactor.call_before_wait(self._flush)
        if is_token:
            metrics, now_s = self.metrics, server.wheel.now()
            metrics.tokens += 1
            if self._last_s:
                passed_s, inter_token_s = now_s - self._last_s, metrics.inter_token_s
                inter_token_s.counts[bisect_left(LATENCY_BOUNDS_S, passed_s)] += 1  # `observe`, inlined
                inter_token_s.total += passed_s
            else:
                self._flush()  # someone waits for it: do not delay it for the other streams of this turn
                server.wheel.cancel(self)  # no more heartbeats
                metrics.ttft_s.observe(now_s - self._request.started_s)
            self._last_s = now_s
        return self._room() if self._connection.paused else None

    def _write_counted(self, data: bytes) -> None:
        """Write a large frame, and count it until the kernel has accepted it. Raises `ResponseMemoryFull`."""
        connection, stream = self._connection, self._stream
        if stream is not None and stream.memory is not None:
            connection.count_unsent(len(data), stream.memory, caller=stream.caller)
        self._write(data)
        if not connection.paused:
            connection.release_unsent()

    def _room(self) -> Awaitable[None]:
        """Wait until the kernel has accepted all bytes."""
        if self._wakeup is None:
            self._wakeup = asyncio.get_running_loop().create_future()
        return self._wakeup

    def _write(self, data: bytes) -> None:
        """Buffer `data`; all data of this turn is written before the loop waits again.

        So several tokens received in one upstream read are sent in one write, and the writes of all streams directly
        follow each other, which wakes the clients' processes less often.
        """
        if not self._unsent:
            self._server.reactor.call_before_wait(self._flush)
        self._unsent += data
        if len(self._unsent) > self._server.bounds.send_buffer_bytes:
            self._flush()

    def _flush(self) -> None:
        data, self._unsent = self._unsent, b""
        if not data:
            return
        if self.status == 200:
            self.sent_bytes += len(data)
            self._connection.send(data)
        else:
            self._send_now(data)

    def _send_now(self, data: bytes) -> None:
        """Send `data`, after the head if it has not been sent."""
        self.sent_bytes += len(data)
        if self.status != 200 and self._stream is not None:
            self.status = 200
            data = self._connection.stream_head(self._request, self._stream.head) + data
            if self._stream.is_large:
                self._connection.enlarge_send_buffer()
        self._connection.send(data)

    def _coded(self, frame: bytes) -> bytes:
        return chunk(frame) if self._chunked and frame else frame

    def _end(self, frame: bytes, outcome: Outcome) -> None:
        """Write the last frame, if any, and the end of the body."""
        connection = self._connection
        if connection.closed:
            return
        if outcome != "complete" and self._stream is not None and self._stream.breaks:
            self._flush()
            connection.reset(outcome)
            return
        self._write(self._coded(frame) + (LAST_CHUNK if self._chunked else b""))
        self._flush()
        if not connection.closed:
            connection.end_stream(outcome, self.sent_bytes)

    def due(self, now_s: float) -> float | None:
        """Send a keepalive; called by the timer wheel."""
        if self._stream is not None and not self._connection.paused:
            self._write(self._coded(self._stream.keepalive))
        return None if self._connection.closed else now_s + self._server.bounds.heartbeat_s

    def half_closed(self) -> bool:
        self._half_closed = True
        if self._stream is not None and self._stream.keepalive:
            self._probe_client(self._stream.keepalive)
        else:
            server = self._server
            server.reactor.call_at(server.wheel.now() + server.bounds.half_close_grace_s, self._give_up)
        return not self._connection.closed

    def _probe_client(self, keepalive: bytes) -> None:
        self._flush()
        if self.status != 200:
            self._send_now(b"")  # the head
        probe(self._connection, self, keepalive=self._coded(keepalive))

    def _give_up(self) -> None:
        """Reset the connection, unless the stream's keepalives probe it."""
        probed = self._stream is not None and self._stream.keepalive
        if self._connection.is_current(self) and not probed:
            self._connection.reset("left")

    def pause(self) -> None:
        """Nothing to do: the stream awaits what `_send` returns."""

    def resume(self) -> None:
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None and not wakeup.done():
            wakeup.set_result(None)

    def stop(self) -> None:
        self._server.wheel.cancel(self)
        self._unsent = b""
        if self._stream is not None and self._stream.on_disconnect is not None and self._stream.on_disconnect():
            self._detached = True
            self.metrics.streams -= 1
            self.resume()
            return
        self._withdraw()
        self._cancel()

    def cut(self) -> None:
        self._cut = True
        self._cancel()
        if self._withdraw():
            self._connection.play_awaited(self._request, self._server.application.cut(self._request))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _withdraw(self) -> bool:
        """Discard the response before the task awaits it; False if the task has started."""
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            awaited.close()
        return awaited is not None
