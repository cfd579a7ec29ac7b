"""One client connection: reads requests and sends their responses in order, one at a time.

Created by the server. It calls the application and passes each response that takes time to a player (`paced.py`,
`live.py`). It handles deadlines and flow control, and must not depend on the meaning of a response.
"""

from tokenfall import logs
from tokenfall.disconnect import Disconnect
from tokenfall.http.application import CLIENT_CLOSED_REQUEST
from tokenfall.http.client_socket import ClientSocket
from tokenfall.http.loadable import LIVE, Loadable
from tokenfall.http.loader import LoadingPlayer
from tokenfall.http.paced import PacedPlayer, SteadyPlayer
from tokenfall.http.reader import BODY, HEAD, IDLE, RequestReader
from tokenfall.http.request import Refusal, Request, placeholder_request
from tokenfall.http.response import PacedStream, Response, SteadyStream, TimedStream
from tokenfall.metrics.registry import add

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from tokenfall.http.application import Outcome
    from tokenfall.http.player import Player
    from tokenfall.http.response import AnyResponse, LiveStream, RelayedHead, StreamHead
    from tokenfall.http.server import HTTPServer

READING, RESPONDING, LINGERING, CLOSING, CLOSED = range(5)
"""State: awaiting a request; sending its response; discarding a refused client's input; flushing its last bytes;
closed."""

PIPELINED_PER_TURN = 32
"""Maximum number of pipelined requests of a connection in one turn of the loop, so that others are not delayed."""

GRACE_S = 0.25
"""How long a drain waits for the first request of a new connection."""

LINGER_BYTES = 1_048_576
"""How many further bytes of a refused client are read and discarded."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n"
_KEEP_ALIVE = b"connection: keep-alive\r\n"

_log = logs.get(__name__)


class Connection(ClientSocket):
    """A client's connection. It has a reader only while bytes are unparsed, to save memory while idle or streaming."""

    __slots__ = (
        "_half_closed", "_linger_left", "_phase", "_player", "_reader", "_reading", "_request", "_scheduled", "_state",
        "peer",
    )  # fmt: skip

    def __init__(self, server: "HTTPServer", fd: int, *, peer: str) -> None:
        super().__init__(server, fd)
        self._state = READING
        self._phase = HEAD  # the first head's deadline runs from accept
        self._reader: RequestReader | None = None
        self._request: Request | None = None
        self._player: Player | None = None
        self._reading = True
        self._scheduled = False
        self._half_closed = False
        self._linger_left = LINGER_BYTES
        self.peer = peer
        if server.admit():
            self.expire_in(GRACE_S if server.draining else server.bounds.header_timeout_s)
        else:
            self._refuse_admission()

    def _refuse_admission(self) -> None:
        self._request = request = placeholder_request(self.peer, self._wheel.now())
        try:
            response = self._server.application.refuse(request, 503, detail="too many connections")
        except Exception:  # noqa: BLE001 - a defect closes one connection, not the process
            _log.exception("the application failed to refuse a connection")
            self.reset("failed")
            return
        self._respond_and_close(request, response)
        self._close()

    # Callbacks of StreamSocket

    @property
    def urgent(self) -> bool:
        return self._state == READING

    def data_received(self, data: bytes) -> None:
        if self._state <= RESPONDING:
            reader = self._reader
            if reader is None:
                if self._state == READING and self._unsent is None and not self._scheduled:
                    known = self._server.heads.cached(data)
                    if known is not None:  # a complete request with a cached head
                        self._guarded(self._respond, known)
                        return
                reader = self._reader = RequestReader(self._server.heads, self._server.bounds)
            reader.feed(data)
            if self._state == READING and self._unsent is None and not self._scheduled:
                self._advance()
            elif reader.unparsed_bytes > self._server.bounds.pipeline_bytes:
                self._reading = False
                self.pause_reading()
        else:
            self._linger_left -= len(data)
            if self._linger_left < 0:
                self.reset("failed")

    def eof_received(self) -> bool:
        """The client half-closed the connection. Pending requests still get responses; for streams, see docs/api.md."""
        self._half_closed = True
        if self._player is not None:
            return self._player.half_closed()
        return self._state == CLOSING or self.paused or self._scheduled

    def pause_writing(self) -> None:
        self.await_reading()
        if self._player is not None:
            self._player.pause()

    def resume_writing(self) -> None:
        self.release_unsent()
        if self._player is not None:
            self.clear_deadline()
            self._player.resume()
        elif self._state == READING:
            self._await_request()
            self._advance()

    def connection_lost(self) -> None:
        self._release("left")

    # Requests

    def _advance(self) -> None:
        """Parse buffered requests and send their responses, until a request is incomplete or a response takes time."""
        self._scheduled = False
        try:
            for _ in range(PIPELINED_PER_TURN):
                if self._state != READING or self._unsent is not None:
                    return
                request = None if self._reader is None else self._reader.next()
                if request is None:
                    self._await_more()
                    if self._reader is not None and self._reader.phase == IDLE:
                        self._reader = None
                    return
                self._respond(request)
            self._advance_next_turn()
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception:  # noqa: BLE001 - a defect closes one connection, not the process
            _log.exception("a connection failed")
            self.reset("failed")

    def _guarded(self, call: "Callable[..., None]", *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:  # noqa: BLE001 - a defect closes one connection, not the process
            _log.exception("a connection failed")
            self.reset("failed")

    def _await_more(self) -> None:
        """No complete request is buffered: set the deadline for the rest, or close if none may follow."""
        reader = self._reader
        if self._half_closed or (self._server.draining and (reader is None or reader.phase == IDLE)):
            self._close()
            return
        phase = IDLE if reader is None else reader.phase
        if phase > self._phase:
            self._phase = phase
            bounds = self._server.bounds
            self.expire_in(bounds.body_timeout_s if phase == BODY else bounds.header_timeout_s)
        if phase == BODY and reader is not None:
            self._server.bodies.resize(self, reader.body_bytes, caller=lambda: self._caller_of(reader.request))
            if reader.take_expect_continue():
                self.write(_CONTINUE)
        if not self._reading:
            self._reading = True
            self.resume_reading()

    def _caller_of(self, request: Request | None) -> str:
        if request is None:
            return self.peer
        request.client = self.peer
        return self._server.application.caller(request)

    def _advance_next_turn(self) -> None:
        """Continue with pipelined requests in the next turn, so that other connections are served first."""
        if not self._scheduled and self._state == READING:
            self._scheduled = True
            self.reactor.call_soon(self._advance)

    # Responses

    def _respond(self, request: Request) -> None:
        self._state = RESPONDING
        self._request = request
        request.client = self.peer
        if self._phase == BODY:
            self._server.bodies.keep(self, request)
        self._phase = IDLE
        request.started_s = self._wheel.now()
        self._play(request, self._server.application.respond(request))

    def _play(self, request: Request, response: "AnyResponse | Coroutine[Any, Any, AnyResponse]") -> None:
        if isinstance(response, Response):
            self._send_response(request, response)
        elif isinstance(response, TimedStream):
            self._start_timed(request, response)
        elif isinstance(response, Disconnect):
            self._disconnect(response)
        elif isinstance(response, Loadable):
            application = self._server.application
            self._load(request, response, then=lambda: self._play(request, application.respond_when_loaded(request)))
        elif LIVE.is_loaded:
            self._play_live(request, response)
        else:
            self._load(request, LIVE, then=lambda: self._play_live(request, response), discard=response.close)

    def _play_live(self, request: Request, response: "LiveStream | Coroutine[Any, Any, AnyResponse]") -> None:
        from tokenfall.http.live import LivePlayer  # noqa: PLC0415 - it imports asyncio

        self.clear_deadline()
        self._drop_reader()
        self._player = LivePlayer(self, self._server, request=request, response=response)

    def _load(
        self,
        request: Request,
        needed: Loadable,
        *,
        then: "Callable[[], None]",
        discard: "Callable[[], None] | None" = None,
    ) -> None:
        self.clear_deadline()
        self._drop_reader()
        self._player = LoadingPlayer(self, self._server, request=request, needed=needed, then=then, discard=discard)

    def _send_response(self, request: Request, response: Response) -> None:
        self._player = None
        keep = self._keeps(request)
        line = b"" if request.http_minor else _KEEP_ALIVE
        head = (response.head, self._server.date_line(), request.response_headers, line if keep else _CLOSE, b"\r\n")
        body = b"" if request.method == "HEAD" or response.status in (204, 304) else response.body
        if len(body) <= self._server.bounds.send_buffer_bytes:
            self.write(b"".join((*head, body)))
        else:  # neither joined nor copied
            self.enlarge_send_buffer()
            self.write(b"".join(head))
            self.write(body)
        self._finish(response.status, "complete", sent_bytes=len(body), keep=keep)

    def _disconnect(self, disconnect: Disconnect) -> None:
        """Break the connection instead of sending a response."""
        self._player = None
        if disconnect.how == "reset":
            self.reset("failed")
        else:
            self._finish(CLIENT_CLOSED_REQUEST, "failed", sent_bytes=0, keep=False)

    def _start_timed(self, request: Request, stream: TimedStream) -> None:
        """Write the head of a stream and schedule its frames on the timer wheel."""
        self._player = None
        self.clear_deadline()
        request.drop_content()
        head = self.stream_head(request, stream.head)
        if request.method == "HEAD":
            if stream.ended is not None:
                stream.ended()
            self.write(head)
            self._finish(200, "complete", sent_bytes=0, keep=self._keeps(request))
            return
        self._drop_reader()
        player: SteadyPlayer | PacedPlayer
        if isinstance(stream, SteadyStream):
            player = SteadyPlayer(self, self._server, request=request, stream=stream)
        else:
            assert isinstance(stream, PacedStream)  # noqa: S101 - for the type checker: there is no third kind
            player = PacedPlayer(self, self._server, request=request, stream=stream)
        self._player = player
        player.start(head)

    def stream_head(self, request: Request, head: "StreamHead | RelayedHead") -> bytes:
        """The head of a stream, encoded. HTTP/1.0 gets no chunked coding: its body ends with the connection."""
        self.restore_send_buffer()
        request.keep_alive = request.http_minor == 1 and self._keeps(request)
        framing = b"transfer-encoding: chunked\r\n" if request.http_minor else b""
        close = b"" if request.keep_alive else _CLOSE
        added, request.response_headers = request.response_headers, b""
        return b"".join((head.lines, self._server.date_line(), added, framing, close, b"\r\n"))

    def end_stream(self, outcome: "Outcome", sent_bytes: int, *, keep: bool = True) -> None:
        """Called by a player after its last byte. Without `keep` the connection is closed even if it is keep-alive."""
        player, self._player = self._player, None
        if player is not None:
            add(player.metrics.streams_ended, outcome)
        keep = keep and self._request is not None and self._keeps(self._request)
        self._finish(200, outcome, sent_bytes=sent_bytes, keep=keep)
        self._advance_next_turn()

    def play_awaited(self, request: Request, response: "AnyResponse") -> None:
        """Send a response that had to be awaited and is not a live stream."""
        self.replace_player(lambda: self._play(request, response))

    def replace_player(self, play: "Callable[[], None]") -> None:
        """Replace the waiting player by the one that `play` starts."""
        self._player = None
        self._guarded(play)
        player: Player | None = self._player
        if self._half_closed and player is not None and not player.half_closed():
            self._close()
        self._advance_next_turn()

    def is_current(self, player: "Player") -> bool:
        """Whether `player` is the connection's current player."""
        return self._player is player

    def _keeps(self, request: Request) -> bool:
        if self._half_closed and (self._reader is None or not self._reader.unparsed_bytes):
            return False
        return request.keep_alive and not self._server.draining

    def _release_body(self) -> None:
        if self._phase == BODY:
            self._server.bodies.release(self)

    def _drop_reader(self) -> None:
        if self._reader is not None and not self._reader.unparsed_bytes:
            self._reader = None

    # Closing

    def belongs_to(self, server: "HTTPServer") -> bool:
        """Whether `server` has accepted it."""
        return self._server is server

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._state == CLOSED

    def reset(self, outcome: "Outcome") -> None:
        if self._state != CLOSED:
            self._release(outcome)
            self.abort()

    def drain(self) -> None:
        """Accept no further request: close now if idle, otherwise after the current response.

        A client that has just connected may have sent its request already, and a close would reset it. So a new
        connection gets `GRACE_S` for its first request.
        """
        if self._state == READING and not self._scheduled and not self.paused:
            if self._reader is None and self._phase == HEAD:
                self.expire_in(GRACE_S)
            else:
                self._await_more()

    def cut(self) -> None:
        """The drain time is over: end the current response."""
        if self._player is not None:
            self._player.cut()
        elif self._state == READING:
            self._close()

    def expired(self) -> None:
        """The deadline has passed; the state determines which one it was."""
        if self.paused:
            self.check_stalled()
        elif self._state > RESPONDING:
            self.reset("stalled")
        elif self._reader is not None and self._reader.phase != IDLE:
            part = "body" if self._reader.phase == BODY else "head"
            self._refuse(Refusal(408, f"the request's {part} did not arrive in time"))
        else:
            self._close()

    def _finish(self, status: int, outcome: "Outcome", *, sent_bytes: int, keep: bool) -> None:
        """A response is written: report it, then await the next request or close."""
        self._report(status, outcome, sent_bytes=sent_bytes)
        if self._state == CLOSED:
            return
        if not keep:
            self._close()
            return
        self._state = READING
        if not self.paused:
            self._await_request()

    def _await_request(self) -> None:
        self.expire_in(self._server.bounds.idle_timeout_s)

    def _close(self) -> None:
        """Close once all bytes are written, at the latest after the stall deadline."""
        self._state = CLOSING
        self._reader = None
        self.close()
        if self.paused:
            self.await_reading()

    def _refuse(self, refusal: Refusal) -> None:
        """Send the error response, then discard further input so that the client gets the response and no reset."""
        self._release_body()
        request = self._request
        if request is None and self._reader is not None:
            request = self._reader.request
        if request is None:
            request = placeholder_request(self.peer, self._wheel.now())
        request.keep_alive = False
        self._request = request
        self._guarded(self._play_refusal, request, refusal)

    def _play_refusal(self, request: Request, refusal: Refusal) -> None:
        application = self._server.application
        needed = application.needed_for_refusal(request)
        if needed is not None:
            self._state = RESPONDING
            self._load(request, needed, then=lambda: self._play_refusal(request, refusal))
            return
        self._respond_and_close(request, application.refuse(request, refusal.status, detail=refusal.detail))
        self._state = LINGERING
        self._reader = None
        if self._half_closed:
            self._close()
            return
        if not self._reading:
            self._reading = True
            self.resume_reading()
        self.shut_write()
        self.expire_in(self._server.bounds.linger_timeout_s)

    def _respond_and_close(self, request: Request, response: Response) -> None:
        body = b"" if request.method == "HEAD" else response.body
        self.write(b"".join((response.head, self._server.date_line(), request.response_headers, _CLOSE, b"\r\n", body)))
        self._report(response.status, "complete", sent_bytes=len(body))

    def _release(self, outcome: "Outcome") -> None:
        """Release everything and report the response. The socket is already closed, or the caller closes it."""
        if self._state == CLOSED:
            return
        self._state = CLOSED
        self.clear_deadline()
        self._release_body()
        self.release_unsent()
        self._server.connection_closed()
        self._reader = None
        player, self._player = self._player, None
        if player is None:
            self._report(CLIENT_CLOSED_REQUEST, outcome, sent_bytes=0)
            return
        player.stop()
        if player.status == 200:
            add(player.metrics.streams_ended, outcome)
        self._report(player.status, outcome, sent_bytes=player.sent_bytes)

    def _report(self, status: int, outcome: "Outcome", *, sent_bytes: int) -> None:
        request, self._request = self._request, None
        if request is None:
            return
        request.drop_content()
        try:
            self._server.application.ended(request, status, outcome=outcome, sent_bytes=sent_bytes)
        except Exception:  # noqa: BLE001 - a failure to log must not leave the connection in an inconsistent state
            _log.exception("reporting a response failed")
