"""One connection: requests in, answers out, in order, one at a time.

The server makes it; it asks the application and hands what takes time to a player (`streaming.py`). It knows
framing, deadlines and flow control, and must never know what an answer means.
"""

import asyncio
import logging
from os import write
from typing import TYPE_CHECKING, cast

from tokenfall.deadlines import Deadlined
from tokenfall.edge.application import Outcome
from tokenfall.edge.body import BodyReader, body_reader
from tokenfall.edge.request import Refusal, Request, unreadable
from tokenfall.edge.response import Answer, LiveStream, PacedStream, Response, StreamHead
from tokenfall.edge.streaming import LivePlayer, PacedPlayer, Player

if TYPE_CHECKING:
    from tokenfall.edge.server import Edge

HEAD, BODY, ANSWERING, LINGERING, CLOSING, CLOSED = range(6)
"""What a connection is doing: awaiting a head, a body, the end of its answer; reading a refused client away;
waiting until its last bytes are taken; gone."""

PIPELINED_A_TURN = 32
"""How many pipelined requests are answered before other connections get their say."""

LINGER_BYTES = 1_048_576
"""How much of what a refused client still sends is read away."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n"
_KEEP_ALIVE = b"connection: keep-alive\r\n"
_CLIENT_CLOSED_REQUEST = 499  # nginx's number for an answer that nobody waited for; logs only

_log = logging.getLogger(__name__)


class Connection(Deadlined, asyncio.Protocol):
    """A client's connection. Between requests it holds little, during a stream less."""

    __slots__ = (
        "_body", "_buffer", "_descriptor", "_edge", "_half_closed", "_head_begun", "_linger_left", "_player",
        "_reading", "_request", "_state", "_unsent", "paused", "peer", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, edge: "Edge") -> None:
        super().__init__(edge.wheel)
        self._edge = edge
        self._state = HEAD
        self._buffer = b""
        self._body: BodyReader | None = None
        self._request: Request | None = None
        self._player: Player | None = None
        self._head_begun = True  # the first head's deadline runs from accept
        self._reading = True
        self._half_closed = False
        self._unsent = 0
        self._linger_left = LINGER_BYTES
        self._descriptor = -1
        self.paused = False
        """Whether something is left unsent; while it is, nothing may be written."""
        self.peer = ""

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)  # write at once, and tell when anything is left
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else ""
        if self._edge.admit(self):
            self.set_deadline(self._wheel.now() + self._edge.bounds.header_timeout_s)
        else:
            answer = self._edge.application.refuse(None, 503, detail="too many connections")
            self.transport.write(b"".join((answer.head, self._edge.date_line(), _CLOSE, b"\r\n", answer.body)))
            self._close()

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state <= BODY:
            self._buffer = self._buffer + data if self._buffer else data
            self._advance()
        elif state == ANSWERING:
            self._buffer += data
            if len(self._buffer) > self._edge.bounds.pipeline_bytes:
                self._reading = False
                self.transport.pause_reading()
        else:
            self._linger_left -= len(data)
            if self._linger_left < 0:
                self.abort("failed")

    def eof_received(self) -> bool:
        """The client closed its side: a stream may go on; who awaits a whole answer may as well have left."""
        self._half_closed = True
        if self._player is not None:
            return self._player.half_closed()
        return self._state == CLOSING or self.paused

    def pause_writing(self) -> None:
        self.paused = True
        self._unsent = self.transport.get_write_buffer_size()
        self.set_deadline(self._wheel.now() + self._edge.bounds.stall_timeout_s)

    def resume_writing(self) -> None:
        self.paused = False
        if self._player is not None:
            self.clear_deadline()
            self._player.resume()
        elif self._state == HEAD:
            self._await_request()
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave("left")

    # Requests

    def _advance(self) -> None:
        """Read and answer what the buffer holds, until something must be awaited."""
        try:
            for _ in range(PIPELINED_A_TURN):
                if self._state == HEAD and (self.paused or not self._read_head()):
                    return
                if self._state == BODY and not self._read_body():
                    return
                if self._state != HEAD or not self._buffer:
                    return
            self._edge.loop.call_soon(self._advance)
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception:  # noqa: BLE001 - a defect ends one connection and is logged; the process lives
            _log.exception("a connection failed")
            self.abort("failed")

    def _read_head(self) -> bool:
        """Take a head from the buffer and act on it; False while it is not whole."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):  # RFC 9112, section 2.2: an empty line before a request is ignored
            buffer = self._buffer = buffer[2:]
        end = buffer.find(b"\r\n\r\n") + 4
        if not 4 <= end <= self._edge.bounds.max_head_bytes:
            self._check_unfinished(buffer)
            return False
        self._request = request = self._edge.heads.parse(buffer[:end])
        self._buffer = buffer[end:]
        request.client = self.peer
        request.started_s = self._wheel.now()
        self._head_begun = False
        self._body = body_reader(request, self._edge.bounds.max_body_bytes)
        expected = request.headers.get(b"expect")
        if expected is not None:
            self._continue(expected, request)
        if self._body is None:
            self._answer(request)
        else:
            self._state = BODY
            self.set_deadline(request.started_s + self._edge.bounds.body_timeout_s)
        return True

    def _check_unfinished(self, buffer: bytes) -> None:
        """Refuse what cannot become a head before more of it is kept."""
        bounds = self._edge.bounds
        if not buffer:
            return
        line_end = buffer.find(b"\r\n")
        if (line_end if line_end >= 0 else len(buffer)) > bounds.max_target_bytes + 32:
            raise Refusal(414, f"the request target may have at most {bounds.max_target_bytes} bytes")
        if len(buffer) > bounds.max_head_bytes:
            raise Refusal(431, f"the head may have at most {bounds.max_head_bytes} bytes")
        if not 65 <= buffer[0] <= 90 or buffer.count(b"\n") != buffer.count(b"\r\n"):
            raise Refusal(400, "malformed request: this is not HTTP/1.1")
        if not self._head_begun:
            self._head_begun = True
            self.set_deadline(self._wheel.now() + bounds.header_timeout_s)

    def _continue(self, expected: bytes, request: Request) -> None:
        """RFC 9110, section 10.1.1."""
        if expected.lower() != b"100-continue":
            raise Refusal(417, "the only expectation served here is 100-continue")
        if self._body is not None and not self._buffer and request.http_minor == 1:
            self.transport.write(_CONTINUE)

    def _read_body(self) -> bool:
        """Take what the buffer holds of a body; False while it is not whole."""
        body, request = self._body, self._request
        if body is None or request is None:
            return False
        rest = body.feed(self._buffer)
        self._buffer = rest or b""
        if rest is None:
            return False
        request.body = body.body()
        self._body = None
        self._answer(request)
        return True

    # Answers

    def _answer(self, request: Request) -> None:
        self._state = ANSWERING
        answer = self._edge.application.answer(request)
        if isinstance(answer, Response):
            self.send_whole(request, answer)
        elif isinstance(answer, PacedStream):
            self.start_paced(request, answer)
        else:
            self.clear_deadline()
            self._player = LivePlayer(self, self._edge, request=request, answer=answer)

    def play(self, request: Request, answer: Answer) -> None:
        """Play an answer that had to be awaited and is no live stream."""
        self._player = None
        if isinstance(answer, PacedStream):
            self.start_paced(request, answer)
        elif isinstance(answer, LiveStream):
            raise TypeError("a live stream is played by who awaited it")
        else:
            self.send_whole(request, answer)
            self._go_on()

    def send_whole(self, request: Request, answer: Response) -> None:
        """Write a whole answer."""
        keep = self._keeps(request)
        line = b"" if request.http_minor else _KEEP_ALIVE
        head = (answer.head, self._edge.date_line(), request.reply_headers, line if keep else _CLOSE, b"\r\n")
        bodiless = request.method == "HEAD" or answer.status in (204, 304)
        data = b"".join(head if bodiless else (*head, answer.body))
        self.transport.write(data)
        self._finish(answer.status, "complete", sent_bytes=len(data), keep=keep)

    def start_paced(self, request: Request, answer: PacedStream) -> None:
        """Write the head of a paced stream and let the wheel play it."""
        head = self.stream_head(request, answer.head)
        self.clear_deadline()
        if request.method == "HEAD":
            self.transport.write(head)
            self._finish(200, "complete", sent_bytes=len(head), keep=self._keeps(request))
            return
        self._player = PacedPlayer(self, self._edge, request=request, stream=answer)
        self._player.start(head)

    def begin_stream(self) -> None:
        """Look up the descriptor that `send` writes to. The transport closes it only after `connection_lost`."""
        self._descriptor = self.transport.get_extra_info("socket").fileno()

    def stream_head(self, request: Request, head: StreamHead) -> bytes:
        """The bytes before a stream. HTTP/1.0 gets no chunked coding: its body ends with the connection."""
        request.drop_content()
        request.keep_alive = request.http_minor == 1 and self._keeps(request)
        framing = b"transfer-encoding: chunked\r\n" if request.http_minor else b""
        close = b"" if request.keep_alive else _CLOSE
        added, request.reply_headers = request.reply_headers, b""
        return b"".join((head.lines, self._edge.date_line(), added, framing, close, b"\r\n"))

    def end_stream(self, outcome: Outcome, sent_bytes: int) -> None:
        """A player wrote its last byte."""
        self._player = None
        keep = self._request is not None and self._keeps(self._request)
        self._finish(200, outcome, sent_bytes=sent_bytes, keep=keep)
        self._go_on()

    def send(self, data: bytes) -> None:
        """Write a piece of a stream; afterwards the connection may be paused or closed.

        While the transport holds nothing, which is as long as the connection is not paused, this writes to the descriptor
        past it: that spares a third of what a token costs above the system call. See docs/decisions/0004.
        """
        if self.paused:
            self.transport.write(data)
            return
        try:
            sent = write(self._descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort("left")
            return
        if sent != len(data):
            self.transport.write(data[sent:])

    def plays(self, player: Player) -> bool:
        """Whether this player is the one whose turn it is."""
        return self._player is player

    def stop_soon(self) -> None:
        """Give an endless stream its grace after a half-close."""
        self.set_deadline(self._wheel.now() + self._edge.bounds.half_close_grace_s)

    def _keeps(self, request: Request) -> bool:
        return request.keep_alive and not self._half_closed and not self._edge.draining

    # Ends

    @property
    def closed(self) -> bool:
        """Whether nobody listens any more."""
        return self._state == CLOSED

    def abort(self, outcome: Outcome) -> None:
        """Reset the connection and free at once all that it holds."""
        if self._state != CLOSED:
            self._leave(outcome)
            self._edge.reset(self.transport)

    def drain(self) -> None:
        """No further request: close now if none is under way, else after its answer."""
        if self._state == HEAD and not self._buffer and not self.paused:
            self._close()

    def cut(self) -> None:
        """The drain time is over: end what is under way."""
        if self._player is not None:
            self._player.cut()
        elif self._state <= BODY:
            self._close()

    def expired(self) -> None:
        """The deadline has passed, whichever it was."""
        if self.paused:
            self._check_stalled()
        elif self._state == ANSWERING:
            self.abort("left")  # an endless stream's grace after a half-close
        elif self._state <= BODY and (self._head_begun or self._state == BODY):
            what = "body" if self._state == BODY else "head"
            if self._buffer or self._body:
                self._refuse(Refusal(408, f"the request's {what} did not come in time"))
            else:
                self._close()
        elif self._state == HEAD:
            self._close()
        else:
            self.abort("stalled")

    def _check_stalled(self) -> None:
        """A reader that takes a little now and then is as stalled as one that takes nothing."""
        unsent = self.transport.get_write_buffer_size()
        if unsent <= self._unsent - self._edge.bounds.send_buffer_bytes:
            self._unsent = unsent
            self.set_deadline(self._wheel.now() + self._edge.bounds.stall_timeout_s)
        else:
            self._edge.metrics.stalled_readers += 1
            self.abort("stalled")

    def _finish(self, status: int, outcome: Outcome, *, sent_bytes: int, keep: bool) -> None:
        """An answer is written: report it, then await the next request or close."""
        self._report(status, outcome, sent_bytes=sent_bytes)
        if self._state == CLOSED:
            return
        if not keep:
            self._close()
            return
        self._state = HEAD
        if not self.paused:
            self._await_request()
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def _go_on(self) -> None:
        """After an answer that took time: see to what was pipelined meanwhile."""
        if self._state == HEAD and self._buffer:
            self._edge.loop.call_soon(self._advance)

    def _await_request(self) -> None:
        self.set_deadline(self._wheel.now() + self._edge.bounds.idle_timeout_s)

    def _close(self) -> None:
        """Close when all written bytes are taken, at the latest after the stall deadline."""
        self._state = CLOSING
        self._descriptor = -1
        self._buffer = b""
        self.transport.close()
        if self.paused:
            self._unsent = self.transport.get_write_buffer_size()
            self.set_deadline(self._wheel.now() + self._edge.bounds.stall_timeout_s)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what was not understood, then read the rest away so that the client sees the answer and no reset."""
        request = self._request
        if request is None:
            request = self._request = unreadable(self.peer, self._wheel.now())
        answer = self._edge.application.refuse(request, refusal.status, detail=refusal.detail)
        head = (answer.head, self._edge.date_line(), request.reply_headers, _CLOSE, b"\r\n")
        data = b"".join((*head, answer.body))
        self.transport.write(data)
        self._report(refusal.status, "complete", sent_bytes=len(data))
        self._state = LINGERING
        self._buffer = b""
        self._body = None
        if self._half_closed or not self.transport.can_write_eof():
            self._close()
            return
        self.transport.write_eof()
        self.set_deadline(self._wheel.now() + self._edge.bounds.linger_timeout_s)

    def _leave(self, outcome: Outcome) -> None:
        """Let go of everything; the transport is closed or about to be."""
        if self._state == CLOSED:
            return
        self._state = CLOSED
        self._descriptor = -1
        self.clear_deadline()
        self._edge.forget(self)
        self._buffer = b""
        self._body = None
        player, self._player = self._player, None
        if player is not None:
            player.stop()
            self._report(player.status, outcome, sent_bytes=player.sent_bytes)
        else:
            self._report(_CLIENT_CLOSED_REQUEST, outcome, sent_bytes=0)

    def _report(self, status: int, outcome: Outcome, *, sent_bytes: int) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.drop_content()
            self._edge.application.ended(request, status, outcome=outcome, sent_bytes=sent_bytes)
