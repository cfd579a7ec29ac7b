"""An HTTP/1.1 connection to a server: one request at a time, its response to an `Exchange`.

| state | what comes | goes on to |
|---|---|---|
| idle | nothing may come: data closes it | awaiting by `send`; closed at a FIN, or when idle for too long |
| awaiting | 1xx heads, the final head | body; closed |
| body | the body | idle when it is complete; settling by `settle`; closed |
| settling | the rest of a body that nobody wants | idle when it is complete in time; closed |
| closed | | |

`abandon`, a break and whatever is not HTTP lead from every state to closed. A connection that becomes idle is offered
to `on_idle`; each that closes is reported to `on_closed`. Source: RFC 9112.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httptools

from tokenfall import logs
from tokenfall.errors import (
    TokenfallError,
    UpstreamError,
    UpstreamMalformed,
    UpstreamReset,
    UpstreamUnreachable,
)
from tokenfall.reactor.stream_socket import StreamSocket
from tokenfall.upstream.exchange import StaleConnection

if TYPE_CHECKING:
    from tokenfall.reactor.loop import Reactor
    from tokenfall.upstream.exchange import Exchange
    from tokenfall.upstream.tls import TLSLayer

MAX_HEAD_BYTES = 65_536
"""Of the heads of one response, 1xx heads included; looked at after each read. Of chunk extensions and trailers too."""
SETTLE_S = 0.25
"""How long the rest of an unwanted body may take; a connection that is slower is closed."""
SETTLE_BYTES = 65_536
"""How much of an unwanted body is read away."""

IDLE, AWAITING, BODY, SETTLING, CLOSED = range(5)

_NO_BODY = (204, 304)

_log = logs.get(__name__)


class Owner:
    """What owns connections: a pool, or nobody."""

    def connection_idle(self, connection: UpstreamConnection) -> None:
        """A response is complete and the connection can serve another request."""
        connection.abandon()

    def connection_answered(self, connection: UpstreamConnection) -> None:
        """The head of a response has come over TLS: there may be a session to resume."""

    def connection_closed(self, connection: UpstreamConnection) -> None:
        """It is closed, whoever closed it."""


class UpstreamConnection(StreamSocket):
    """Owns `fd`, a connected non-blocking socket, and with `tls` what is said on it after the handshake."""

    __slots__ = (
        "_exchange", "_framing_bytes", "_head_bytes", "_headers", "_is_head_request", "_keep_alive", "_owner",
        "_parser", "_settle_left", "_state", "_tls", "_until_close", "was_idle",
    )  # fmt: skip

    def __init__(self, reactor: Reactor, fd: int, *, owner: Owner, tls: TLSLayer | None = None) -> None:
        super().__init__(reactor, fd)
        self._owner = owner
        self._tls = tls
        self._parser = httptools.HttpResponseParser(self)
        self._state = IDLE
        self._exchange: Exchange | None = None
        self._headers: list[tuple[str, str]] = []
        self._head_bytes = 0
        self._framing_bytes = 0
        self._settle_left = 0
        self._keep_alive = False
        self._until_close = False
        self._is_head_request = False
        self.was_idle = False
        """Whether it has waited in a pool: the server may have closed it meanwhile."""

    # For who sends requests

    @property
    def is_idle(self) -> bool:
        """Whether a request can be sent."""
        return self._state == IDLE

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """What later connections can resume, None where there is no TLS or no session yet."""
        return None if self._tls is None else self._tls.session

    def send(self, request: bytes, exchange: Exchange, *, is_head: bool = False) -> None:
        """Send a request, head and body. The connection must be idle. `is_head`: a HEAD request."""
        self.clear_deadline()
        self._state = AWAITING
        self._exchange = exchange
        self._head_bytes = 0
        self._headers = []
        self._is_head_request = is_head
        exchange.connection = self
        self.write(request if self._tls is None else self._tls.encrypt(request))

    def settle(self) -> None:
        """The exchange has all that it wants: read the rest of the body away, so that the connection can be reused."""
        self._release()
        if self._state == BODY:
            self._state = SETTLING
            self._settle_left = SETTLE_BYTES
            self.set_deadline(self._wheel.now() + SETTLE_S)
            self.resume_reading()

    def abandon(self) -> None:
        """Close now; the exchange hears nothing of it."""
        self._release()
        if self._tls is not None and self._state != CLOSED:
            self.write(self._tls.close())
        self.close()
        if self.fd >= 0:  # something is unsent, which nobody waits for
            self.abort()

    def cut(self, error: TokenfallError) -> None:
        """Close now, and let the exchange, if there is one, end with `error`."""
        self._fail(error)

    def idle_until(self, deadline_s: float) -> None:
        """Close at `deadline_s` if no request was sent by then."""
        self.set_deadline(deadline_s)

    # What the socket calls

    def data_received(self, data: bytes) -> None:
        tls = self._tls
        try:
            if tls is None:
                self._feed(data)
                return
            for plaintext in tls.decrypt(data):
                if not plaintext:
                    self._server_ended()
                    return
                self._feed(plaintext)
                if self._state == CLOSED:
                    return
            if unsent := tls.unsent():
                self.write(unsent)
        except ssl.SSLError:
            self._break_off()

    def eof_received(self) -> bool:
        if self._tls is None:  # else somebody else may have cut it: TLS has an end of its own
            self._server_ended()
        else:
            self._break_off()
        return False

    def pause_writing(self) -> None:
        """A request that is larger than the kernel's buffer goes out as it is taken."""

    def resume_writing(self) -> None:
        """Nobody waits for it."""

    def connection_lost(self) -> None:
        state, self._state = self._state, CLOSED
        self.clear_deadline()
        exchange = self._exchange
        self._release()
        del self._parser  # it holds methods of this
        self._owner.connection_closed(self)
        if exchange is None:
            return
        if state == BODY:
            exchange.broken(UpstreamReset("the connection to the upstream broke"))
        elif self.was_idle and not self._head_bytes:
            exchange.broken(StaleConnection())
        else:
            exchange.broken(UpstreamUnreachable("the connection to the upstream broke before a response came"))

    def expired(self) -> None:
        """It was idle for too long, or what is left of a response takes too long."""
        self.abandon()

    # Reading

    def _server_ended(self) -> None:
        """The server has said all that it will say on this connection."""
        if self._state in (BODY, SETTLING) and self._until_close:
            self._keep_alive = False
            self._complete()
        else:
            self._break_off()

    def _break_off(self) -> None:
        """Nothing more can come: close, also while the request is still being sent."""
        if self._unsent is None:
            self.close()
        else:
            self.abort()

    def _feed(self, data: bytes) -> None:
        state = self._state
        if state == BODY:
            self._framing_bytes += len(data)
            self._parse(data)
            if self._framing_bytes > MAX_HEAD_BYTES and self._state == BODY:
                self._fail(UpstreamMalformed(f"the upstream's response has over {MAX_HEAD_BYTES} bytes of framing"))
        elif state == AWAITING:
            self._head_bytes += len(data)
            self._parse(data)
            if self._state == AWAITING and self._head_bytes > MAX_HEAD_BYTES:
                self._fail(UpstreamMalformed(f"the head of the upstream's response has over {MAX_HEAD_BYTES} bytes"))
        elif state == SETTLING:
            self._settle_left -= len(data)
            if self._settle_left < 0:
                self.abandon()
            else:
                self._parse(data)
        else:  # a server has nothing to say of its own accord
            self.abandon()

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            _log.error("a response could not be handled", exc_info=error.__context__ or error)
            self._fail(TokenfallError("the response failed"))
        except httptools.HttpParserUpgrade:
            self._fail(UpstreamError("the upstream answered with status 101", status=101))
        except httptools.HttpParserError:
            if self._state != CLOSED:
                self._fail(UpstreamMalformed("the upstream's response is not HTTP"))

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._state != AWAITING:  # in the read that completed a response, there is more of something
            self.abandon()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._state == AWAITING:  # else trailers, which nobody asked for
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        headers, self._headers = self._headers, []
        if self._state != AWAITING:
            return
        status = self._parser.get_status_code()
        if status < 200:
            return
        codings = [value.strip().lower() for name, value in headers if name == "transfer-encoding"]
        if codings not in ([], ["chunked"]):
            self._fail(UpstreamMalformed("the upstream's response has a transfer coding that is not known"))
            return
        has_length = any(name == "content-length" for name, _ in headers)
        self._until_close = not (codings or has_length or status in _NO_BODY or self._is_head_request)
        self._state = BODY
        if self._tls is not None:
            self._owner.connection_answered(self)
        assert self._exchange is not None  # noqa: S101 - there is one until the head has come
        self._exchange.head_received(status, headers)
        if self._is_head_request and self._state in (BODY, SETTLING):
            self._keep_alive = False  # the parser waits for a body that does not come
            self._complete()

    def on_body(self, data: bytes) -> None:
        self._framing_bytes = 0
        if self._exchange is not None:
            self._exchange.body_received(data)

    def on_message_complete(self) -> None:
        if self._state in (BODY, SETTLING):
            if not self._until_close:
                self._keep_alive = self._parser.should_keep_alive()
            self._complete()

    def _complete(self) -> None:
        """The response is complete: report it, and become idle or close."""
        exchange = self._exchange
        self._release()
        self.clear_deadline()
        keeps = self._keep_alive and self._unsent is None
        self._state = IDLE
        if keeps:
            self.resume_reading()
            self._owner.connection_idle(self)
        else:
            self.abandon()
        if exchange is not None:
            exchange.body_ended()

    def _fail(self, error: TokenfallError) -> None:
        exchange = self._exchange
        self.abandon()
        if exchange is not None:
            exchange.broken(error)

    def _release(self) -> None:
        """The exchange is told nothing more."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.connection = None
