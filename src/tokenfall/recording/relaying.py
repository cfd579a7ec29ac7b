"""One exchange that is relayed and recorded: what came, when, and how it ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING

from msgspec import Raw

from tokenfall.http.response import LiveStream, RelayedHead, Response, header_lines, status_line
from tokenfall.recording.keeper import Keeper
from tokenfall.recording.recordings import NO_BODY, Answer, Break, Chunk, Exchange, Request, chunk
from tokenfall.recording.redaction import ANSWER_HEADERS, REQUEST_HEADERS, Redactor, keys_in
from tokenfall.upstream import exchange as upstream
from tokenfall.upstream.refusals import encoding_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tokenfall.http.request import Request as ClientRequest
    from tokenfall.http.response import Send
    from tokenfall.upstream.exchange import Headers

MAX_KEPT_BYTES = 67_108_864
"""Of one response: what comes after is relayed, not kept."""
STREAMS = ("text/event-stream", "application/x-ndjson", "application/jsonl")

_BODILESS = (204, 304)
_OF_THE_CONNECTION = frozenset(
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
"""RFC 9110, section 7.6.1, and what each side of a relay says for itself."""


class Kept:
    """A response while it comes."""

    def __init__(self, redactor: Redactor) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.streamed = False
        self.full = False
        self._redactor = redactor
        self._times: list[float] = []
        self._pieces: list[bytes] = []
        self._bytes = 0

    def begin(self, status: int, headers: Headers) -> None:
        """The head has come."""
        named = dict(headers)
        self.status = status
        self._redactor.learn(keys_in(named))
        self.headers = self._redactor.headers(named, ANSWER_HEADERS)
        self.streamed = named.get("content-type", "").partition(";")[0].strip().lower() in STREAMS

    def take(self, at_s: float, piece: bytes) -> None:
        self.full = self.full or self._bytes + len(piece) > MAX_KEPT_BYTES
        if not self.full:
            self._times.append(at_s)
            self._pieces.append(piece)
            self._bytes += len(piece)

    def answer(self) -> Answer | None:
        """What came, None for no status. Secrets are looked for in the whole: a read may cut one in two."""
        if not self.status:
            return None
        whole = self._redactor.masked(b"".join(self._pieces))
        return Answer(
            status=self.status, headers=self.headers, streamed=self.streamed, chunks=tuple(self._chunks(whole))
        )

    def _chunks(self, whole: bytes) -> list[Chunk]:
        if not self.streamed:
            return [chunk(self._times[-1], whole)] if self._times else []
        chunks, start = [], 0
        for at_s, piece in zip(self._times, self._pieces, strict=True):
            chunks.append(chunk(at_s, whole[start : start + len(piece)]))
            start += len(piece)
        return chunks


class RelayedExchange(upstream.Exchange):
    """A response on its way to the client. `begun` is done when its head has come."""

    __slots__ = ("_early", "_kept", "_send", "_started_s", "begun")

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.begun: asyncio.Future[tuple[int, Headers]] = asyncio.get_running_loop().create_future()
        self._kept = kept
        self._started_s = monotonic()
        self._send: Callable[[bytes], Awaitable[None] | None] = self._keep_early
        self._early: list[bytes] = []

    def head_received(self, status: int, headers: Headers) -> None:
        if error := encoding_error(dict(headers).get("content-encoding")):
            self.fail(error)
            return
        self._kept.begin(status, headers)
        self.begun.set_result((status, headers))

    def body_received(self, data: bytes) -> None:
        self._kept.take(monotonic() - self._started_s, data)
        self._pass(data)

    def body_ended(self) -> None:
        self.finish()

    def pass_to(self, send: Callable[[bytes], Awaitable[None] | None]) -> None:
        """Hand the body on from now on, beginning with what has come of it."""
        self._send = send
        for data in self._early:
            self._pass(data)
        self._early.clear()

    def _pass(self, data: bytes) -> None:
        room = self._send(data)
        if room is not None:
            self.wait_for(room)

    def _keep_early(self, data: bytes) -> None:
        self._early.append(data)


class Relaying:
    """Answers one request of a client with what the upstream answers, and keeps the exchange, however it ends.

    `ask` sends the request upstream and returns when the exchange has finished.
    """

    def __init__(
        self,
        request: ClientRequest,
        keeper: Keeper,
        *,
        ask: Callable[[upstream.Exchange], Awaitable[None]],
        redactor: Redactor,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._is_head = request.method == "HEAD"
        self._keeper = keeper
        self._redactor = redactor
        self._is_stopping = is_stopping
        headers = named_headers(request)
        redactor.learn(keys_in(headers))
        document = redactor.body(request.body)
        self._asked = Request(
            method=request.method,
            path=redactor.target(request.target),
            headers=redactor.headers(headers, REQUEST_HEADERS),
            body=NO_BODY if document is None else Raw(document),
        )
        self._asked_at = time()
        self._kept = Kept(redactor)
        self._exchange = RelayedExchange(self._kept)
        self._running = asyncio.ensure_future(ask(self._exchange))

    async def answer(self) -> Response | LiveStream:
        """What the client gets. Raises a `TokenfallError` when no head came."""
        begun = self._exchange.begun
        try:
            await asyncio.wait((begun, self._running), return_when=asyncio.FIRST_COMPLETED)
            if not begun.done():
                await self._running
            status, headers = begun.result()
            if self._is_head or status in _BODILESS:
                await self._finished()
        except asyncio.CancelledError:
            await self._keep(self._who_left())
            raise
        except Exception:
            await self._keep("upstream")
            raise
        head = end_to_end(headers)
        if self._is_head or status in _BODILESS:
            await self._keep(None)
            return _bodiless(status, head)
        stream = LiveStream(RelayedHead(status, head), self._pass_body, failure=lambda _: b"")
        stream.breaks = True  # the end of a broken body must not look like one
        return stream

    async def _pass_body(self, send: Send) -> bytes:
        """Send the body as it comes. Returns once the exchange is kept: who has the end of the body knows it kept."""
        interrupted: Break | None = "upstream"
        try:
            self._exchange.pass_to(lambda data: send(data, is_token=False))
            await self._finished()
            interrupted = "size" if self._kept.full else None
        except asyncio.CancelledError:
            interrupted = self._who_left()
            raise
        finally:
            await self._keep(interrupted)
        return b""

    async def _finished(self) -> None:
        """Return once the exchange has finished; raises what it failed with. Who is cancelled here ends it himself."""
        await asyncio.wait((self._running,))
        await self._running

    def _who_left(self) -> Break:
        return "relay" if self._is_stopping() else "client"

    async def _keep(self, interrupted: Break | None) -> None:
        """Let go of the upstream, and write the exchange."""
        self._running.cancel()
        self._exchange.stop()
        at = datetime.fromtimestamp(self._asked_at, UTC).isoformat(timespec="milliseconds")
        kept = Exchange(time=at, request=self._asked, answer=self._kept.answer(), interrupted=interrupted)
        written = self._keeper.keep(kept)
        await asyncio.wait([asyncio.wrap_future(written)])


def named_headers(request: ClientRequest) -> dict[str, str]:
    """A request's headers by their lower-case names."""
    pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.items())
    return {name: value for name, value in pairs if not name.startswith(":")}


def end_to_end(headers: Headers) -> list[tuple[str, str]]:
    """The headers that a relay passes on."""
    connection = ",".join(value for name, value in headers if name == "connection")
    dropped = _OF_THE_CONNECTION | {name.strip().lower() for name in connection.split(",")}
    return [(name, value) for name, value in headers if name not in dropped]


def _bodiless(status: int, headers: Headers) -> Response:
    response = Response(status)
    response.head = status_line(status) + header_lines(headers)
    return response
