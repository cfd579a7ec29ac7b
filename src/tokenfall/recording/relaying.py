"""Relays one exchange and records it: response bytes, their times, and how it ended. Used by `recorder`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING

from msgspec import Raw
from msgspec.structs import replace

from tokenfall.errors import RequestMemoryFull
from tokenfall.http.encoding import header_lines, status_line
from tokenfall.http.response import LiveStream, RelayedHead, Response
from tokenfall.recording.recordings import (
    NO_BODY,
    Break,
    RecordedChunk,
    RecordedExchange,
    RecordedRequest,
    RecordedResponse,
    chunk,
)
from tokenfall.recording.redaction import REQUEST_HEADERS, RESPONSE_HEADERS, Redactor, keys_in
from tokenfall.recording.writer import RecordingWriter
from tokenfall.upstream import exchange as upstream
from tokenfall.upstream.refusals import encoding_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tokenfall.http.request import Request as ClientRequest
    from tokenfall.http.response import Send
    from tokenfall.memory.leases import MemoryLease
    from tokenfall.upstream.exchange import Headers

MAX_RECORDED_BYTES = 67_108_864
"""Recorded bytes of one response; further bytes, and those for which there is no memory, are only relayed."""
PIECE_BYTES = 100
"""Memory of a piece besides its bytes."""

REQUEST_COPIES = 3
"""A request is in memory as received, as it is sent to the upstream, and as it is recorded."""

STREAMS = ("text/event-stream", "application/x-ndjson", "application/jsonl")

_BODILESS = (204, 304)
_HOP_BY_HOP = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Hop-by-hop headers (RFC 9110, section 7.6.1), and headers that each side of the relay sets itself."""


class ResponseCapture:
    """Collects a response for the recording, within `lease`, which has the size of its request already."""

    def __init__(self, redactor: Redactor, lease: MemoryLease) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.streamed = False
        self.full = False
        self._redactor = redactor
        self._times: list[float] = []
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._lease = lease

    def begin(self, status: int, headers: Headers) -> None:
        """Set the response head."""
        named = dict(headers)
        self.status = status
        self._redactor.learn(keys_in(named))
        self.headers = self._redactor.headers(named, RESPONSE_HEADERS)
        self.streamed = named.get("content-type", "").partition(";")[0].strip().lower() in STREAMS

    def add(self, at_s: float, piece: bytes) -> None:
        self.full = self.full or self._bytes + len(piece) > MAX_RECORDED_BYTES or not self._fits(piece)
        if not self.full:
            self._times.append(at_s)
            self._pieces.append(piece)
            self._bytes += len(piece)

    def _fits(self, piece: bytes) -> bool:
        try:
            self._lease.grow(len(piece) + PIECE_BYTES)
        except RequestMemoryFull:
            return False
        return True

    def response(self) -> RecordedResponse | None:
        """The response so far, None without a head. Masks the joined body: a secret may be split between reads."""
        if not self.status:
            return None
        body = self._redactor.masked(b"".join(self._pieces))
        return RecordedResponse(
            status=self.status, headers=self.headers, streamed=self.streamed, chunks=tuple(self._chunks(body))
        )

    def _chunks(self, body: bytes) -> list[RecordedChunk]:
        if not self.streamed:
            return [chunk(self._times[-1], body)] if self._times else []
        chunks, start = [], 0
        for at_s, piece in zip(self._times, self._pieces, strict=True):
            chunks.append(chunk(at_s, body[start : start + len(piece)]))
            start += len(piece)
        return chunks


class RelayedExchange(upstream.UpstreamExchange):
    """The upstream side of a relayed response. The future `head` resolves to its status and headers."""

    __slots__ = ("_capture", "_early", "_send", "_started_s", "head")

    def __init__(self, capture: ResponseCapture) -> None:
        super().__init__()
        self.head: asyncio.Future[tuple[int, Headers]] = asyncio.get_running_loop().create_future()
        self._capture = capture
        self._started_s = monotonic()
        self._send: Callable[[bytes], Awaitable[None] | None] = self._buffer
        self._early: list[bytes] = []

    def head_received(self, status: int, headers: Headers) -> None:
        if error := encoding_error(dict(headers).get("content-encoding")):
            self.fail(error)
            return
        self._capture.begin(status, headers)
        self.head.set_result((status, headers))

    def body_received(self, data: bytes) -> None:
        self._capture.add(monotonic() - self._started_s, data)
        self._forward(data)

    def body_ended(self) -> None:
        self.finish()

    def forward_to(self, send: Callable[[bytes], Awaitable[None] | None]) -> None:
        """Send the body to `send` from now on, starting with the data received before."""
        self._send = send
        for data in self._early:
            self._forward(data)
        self._early.clear()

    def _forward(self, data: bytes) -> None:
        room = self._send(data)
        if room is not None:
            self.wait_for(room)

    def _buffer(self, data: bytes) -> None:
        self._early.append(data)


class ExchangeRelay:
    """Relays the upstream's response to one client request and records the exchange, however it ends.

    `send` sends the request upstream and returns when the exchange has finished.
    """

    def __init__(
        self,
        request: ClientRequest,
        writer: RecordingWriter,
        *,
        send: Callable[[upstream.UpstreamExchange], Awaitable[None]],
        redactor: Redactor,
        is_stopping: Callable[[], bool],
        lease: MemoryLease,
    ) -> None:
        """`lease` is released once the exchange is written. Raises `RequestMemoryFull`."""
        lease.resize(REQUEST_COPIES * len(request.body))
        self._lease = lease
        self._is_head = request.method == "HEAD"
        self._writer = writer
        self._redactor = redactor
        self._is_stopping = is_stopping
        headers = named_headers(request)
        redactor.learn(keys_in(headers))
        self._request = RecordedRequest(
            method=request.method,
            path=redactor.target(request.target),
            headers=redactor.headers(headers, REQUEST_HEADERS),
        )
        self._request_body = request.body
        self._request_redactor = redactor.copy()
        self._requested_at = time()
        self._capture = ResponseCapture(redactor, lease)
        self._exchange = RelayedExchange(self._capture)
        self._running = asyncio.ensure_future(send(self._exchange))

    async def respond(self) -> Response | LiveStream:
        """The response for the client. Raises a `TokenfallError` if the upstream sent no head."""
        head_future = self._exchange.head
        try:
            await asyncio.wait((head_future, self._running), return_when=asyncio.FIRST_COMPLETED)
            if not head_future.done():
                await self._running
            status, headers = head_future.result()
            is_bodiless = self._is_head or status in _BODILESS
            if is_bodiless:
                await self._finished()
        except asyncio.CancelledError:
            await self._write_exchange(self._interrupted_by())
            raise
        except Exception:
            await self._write_exchange("upstream")
            raise
        forwarded = end_to_end(headers)
        if is_bodiless:
            await self._write_exchange(None)
            response = Response(status)
            response.head = status_line(status) + header_lines(forwarded)
            return response
        stream = LiveStream(RelayedHead(status, forwarded), self._forward_body, failure=lambda _: b"")
        stream.breaks = True  # a failed body must not end like a complete one
        return stream

    async def _forward_body(self, send: Send) -> bytes:
        """Forward the body as it arrives. Returns once the exchange is on the disk: a client that has received the end
        of the body can rely on the recording.
        """
        interrupted: Break | None = "upstream"
        try:
            self._exchange.forward_to(lambda data: send(data, is_token=False))
            await self._finished()
            interrupted = "size" if self._capture.full else None
        except asyncio.CancelledError:
            interrupted = self._interrupted_by()
            raise
        finally:
            await self._write_exchange(interrupted)
        return b""

    async def _finished(self) -> None:
        """Wait for the exchange; raises its error. Cancelling this does not cancel the exchange."""
        await asyncio.wait((self._running,))
        await self._running

    def _interrupted_by(self) -> Break:
        return "relay" if self._is_stopping() else "client"

    async def _write_exchange(self, interrupted: Break | None) -> None:
        """Stop the upstream exchange and write it to the recording."""
        self._running.cancel()
        self._exchange.stop()
        at = datetime.fromtimestamp(self._requested_at, UTC).isoformat(timespec="milliseconds")
        try:
            written = self._writer.append(lambda: self._recorded(at, interrupted))
            await asyncio.wait([asyncio.wrap_future(written)])
        finally:
            self._lease.release()

    def _recorded(self, at: str, interrupted: Break | None) -> RecordedExchange:
        """The exchange without secrets. Called in the thread of the writer, because masking a large body takes time."""
        document = self._request_redactor.body(self._request_body)
        request = replace(self._request, body=NO_BODY if document is None else Raw(document))
        return RecordedExchange(time=at, request=request, answer=self._capture.response(), interrupted=interrupted)


def named_headers(request: ClientRequest) -> dict[str, str]:
    """A request's headers by their lower-case names."""
    pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.items())
    return {name: value for name, value in pairs if not name.startswith(":")}


def end_to_end(headers: Headers) -> list[tuple[str, str]]:
    """The end-to-end headers, which a relay forwards."""
    connection = ",".join(value for name, value in headers if name == "connection")
    dropped = _HOP_BY_HOP | {name.strip().lower() for name in connection.split(",")}
    return [(name, value) for name, value in headers if name not in dropped]
