"""An HTTP/1.1 client connection: one request at a time, whose response goes to an `UpstreamExchange`.

| state | input | next states |
|---|---|---|
| idle | none: data closes the connection | awaiting by `send`; closed at a FIN, or after the idle timeout |
| awaiting | 1xx heads, the final head | body; closed |
| body | the body | idle when it is complete; discarding by `discard_body`; closed |
| discarding | the remaining body, discarded | idle when it is complete in time; closed |
| closed | | |

`abandon`, a broken connection and malformed HTTP change every state to closed. The `Owner` is notified when a
connection becomes idle and when it closes. Source: RFC 9112.
"""

from __future__ import annotations

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
    import ssl

    from tokenfall.reactor.loop import Reactor
    from tokenfall.upstream.exchange import UpstreamExchange

MAX_HEAD_BYTES = 65_536
"""Limit for all heads of one response, including 1xx, and for chunk framing and trailers; checked after each read."""
DISCARD_S = 0.25
"""How long a body is discarded before the connection is closed."""
DISCARD_BYTES = 65_536
"""How many bytes of a body are discarded before the connection is closed."""

IDLE, AWAITING, BODY, DISCARDING, CLOSED = range(5)

_NO_BODY = (204, 304)
_SWITCHING = 101

_log = logs.get(__name__)


class Owner:
    """Owner of connections, notified of their states. This base class closes each connection after its response."""

    def connection_idle(self, connection: UpstreamConnection) -> None:
        """A response is complete and the connection can be reused."""
        connection.abandon()

    def connection_responded(self, connection: UpstreamConnection) -> None:
        """The head of a response has arrived over TLS, so a session to resume may exist."""

    def connection_closed(self, connection: UpstreamConnection) -> None:
        """The connection is closed, by either side."""


class UpstreamConnection(StreamSocket):
    """Owns `fd`, a connected non-blocking socket. A subclass adds TLS."""

    __slots__ = (
        "_discard_left",
        "_exchange",
        "_framing_bytes",
        "_head_bytes",
        "_headers",
        "_is_head_request",
        "_owner",
        "_parser",
        "_state",
        "_until_close",
        "urgent",
        "was_idle",
    )  # fmt: skip

    urgent: bool
    """Whether the client waits for the first event of the response; see `Handler`."""

    def __init__(self, reactor: Reactor, fd: int, *, owner: Owner) -> None:
        super().__init__(reactor, fd)
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._state = IDLE
        self._exchange: UpstreamExchange | None = None
        self._headers: list[tuple[str, str]] = []
        self._head_bytes = 0
        self._framing_bytes = 0
        self._discard_left = 0
        self._until_close = False
        self._is_head_request = False
        self.urgent = False
        self.was_idle = False
        """Whether it has been idle in a pool, where the server may have closed it."""

    # Called by the client and the exchange

    @property
    def is_idle(self) -> bool:
        """Whether `send` may be called."""
        return self._state == IDLE

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """The session that later connections can resume; None without TLS or before the server has sent one."""
        return None

    def send(self, request: bytes, exchange: UpstreamExchange, *, is_head: bool = False) -> None:
        """Send a request, head and body. The connection must be idle. `is_head`: a HEAD request."""
        self.clear_deadline()
        self._state = AWAITING
        self._exchange = exchange
        self._head_bytes = 0
        self._headers = []
        self._is_head_request = is_head
        self.urgent = True
        exchange.connection = self
        self.write(self.encoded(request))

    def encoded(self, request: bytes) -> bytes:
        """The bytes that are sent for `request`."""
        return request

    def discard_body(self) -> None:
        """Detach the exchange and discard the remaining body, so that the connection can be reused."""
        self._release()
        if self._state == BODY:
            self._state = DISCARDING
            self._discard_left = DISCARD_BYTES
            self.set_deadline(self._wheel.now() + DISCARD_S)
            self.resume_reading()

    def abandon(self) -> None:
        """Close now, without notifying the exchange."""
        self._release()
        self.close()
        if self.fd >= 0:  # the unsent bytes are no longer needed
            self.abort()

    def fail(self, error: TokenfallError) -> None:
        """Close now, and fail the exchange, if any, with `error`."""
        exchange = self._exchange
        self.abandon()
        if exchange is not None:
            exchange.broken(error)

    # Callbacks of StreamSocket

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == BODY:
            self._framing_bytes += len(data)
        elif state == AWAITING:
            self._head_bytes += len(data)
        else:
            self._discard_left -= len(data)
            if state != DISCARDING or self._discard_left < 0:  # a server must not send data without a request
                self.abandon()
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            _log.error("handling a response failed", exc_info=error.__context__ or error)
            self.fail(TokenfallError("the response failed"))
        except httptools.HttpParserUpgrade:
            self.abandon()  # `on_headers_complete` has failed the exchange
        except httptools.HttpParserError:
            if self._state != CLOSED:
                self.fail(UpstreamMalformed("the upstream's response is not HTTP"))
        if self._framing_bytes > MAX_HEAD_BYTES and self._state == BODY:
            self.fail(UpstreamMalformed(f"the upstream's response has over {MAX_HEAD_BYTES} bytes of framing"))
        elif self._head_bytes > MAX_HEAD_BYTES and self._state == AWAITING:
            self.fail(UpstreamMalformed(f"the head of the upstream's response has over {MAX_HEAD_BYTES} bytes"))

    def eof_received(self) -> bool:
        self._server_closed()
        return False

    def pause_writing(self) -> None:
        """Nothing to do: the socket sends the remaining request as the kernel accepts it."""

    def resume_writing(self) -> None:
        """Nothing to do."""

    def connection_lost(self) -> None:
        state, self._state = self._state, CLOSED
        self.clear_deadline()
        exchange = self._exchange
        self._release()
        del self._parser  # it holds a reference cycle through bound methods
        self._owner.connection_closed(self)
        if exchange is None:
            return
        if state == BODY:
            exchange.broken(UpstreamReset("the connection to the upstream broke"))
        elif self.was_idle and not self._head_bytes:
            exchange.broken(StaleConnection())
        else:
            exchange.broken(UpstreamUnreachable("the connection to the upstream broke before a response arrived"))

    def expired(self) -> None:
        """The idle timeout, or the time to discard a body, has passed."""
        self.abandon()

    def _server_closed(self) -> None:
        """The server has closed its side of the connection."""
        if self._state in (BODY, DISCARDING) and self._until_close:
            self._complete(keep_alive=False)
        else:
            self._break_off()

    def _break_off(self) -> None:
        """Close, even if the request is not completely sent."""
        if self._unsent is None:
            self.close()
        else:
            self.abort()

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        if self._state != AWAITING:  # excess data after the response, in the same read
            self.abandon()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._state == AWAITING:  # otherwise these are trailers, which are ignored
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        headers, self._headers = self._headers, []
        if self._state != AWAITING:
            return
        status = self._parser.get_status_code()
        if status == _SWITCHING:  # also without `Upgrade`, which makes the parser raise
            self.fail(UpstreamError("the upstream responded with status 101"))
        if status < 200:
            return
        codings = [value.strip().lower() for name, value in headers if name == "transfer-encoding"]
        if codings not in ([], ["chunked"]):
            self.fail(UpstreamMalformed("the upstream's response has an unknown transfer coding"))
            return
        has_length = any(name == "content-length" for name, _ in headers)
        self._until_close = not (codings or has_length or status in _NO_BODY or self._is_head_request)
        self._state = BODY
        self._responded()
        assert self._exchange is not None  # noqa: S101 - it is set until the head has arrived
        self._exchange.head_received(status, headers)
        if self._is_head_request and self._state in (BODY, DISCARDING):
            self._complete(keep_alive=False)  # the parser would wait for a body

    def _responded(self) -> None:
        """The final head of a response has arrived."""

    def on_body(self, data: bytes) -> None:
        self._framing_bytes = 0
        if self._exchange is not None:
            self._exchange.body_received(data)

    def on_message_complete(self) -> None:
        if self._state in (BODY, DISCARDING):
            self._complete(keep_alive=not self._until_close and self._parser.should_keep_alive())

    def _complete(self, *, keep_alive: bool) -> None:
        """The response is complete: report it, and become idle or close."""
        exchange = self._exchange
        self._release()
        self.clear_deadline()
        self._state = IDLE
        if keep_alive and self._unsent is None:
            self.resume_reading()
            self._owner.connection_idle(self)
        else:
            self.abandon()
        if exchange is not None:
            exchange.body_ended()

    def _release(self) -> None:
        """Detach the exchange."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.connection = None
