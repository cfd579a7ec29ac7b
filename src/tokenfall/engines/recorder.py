"""The relay behind `tokenfall record`: passes each request on as it is, and keeps what was said and when.

It stands on aiohttp's server, not on our edge; docs/decisions/0014-a-recorder-of-its-own.md says why. It judges
nothing, repeats nothing and translates nothing: a recording of what we made of an answer would be worthless.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic, time

import aiohttp
from aiohttp import web
from msgspec import Raw
from multidict import CIMultiDict
from yarl import URL

from tokenfall import logs
from tokenfall.engines.asked import PREFIXES
from tokenfall.engines.recordings import NO_BODY, Answer, Break, Chunk, Exchange, Request, chunk
from tokenfall.engines.redaction import ANSWER_HEADERS, REQUEST_HEADERS, Redactor, keys_in

MAX_REQUEST_BYTES = 33_554_432
MAX_KEPT_BYTES = 67_108_864
"""Of one answer: what comes after is relayed, not kept."""
CONNECT_S = 10.0
NAMES_OF_LOOPBACK = ("localhost", "127.0.0.1", "::1")
STREAMS = ("text/event-stream", "application/x-ndjson", "application/jsonl")

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

_log = logs.get("tokenfall")


class Keeper:
    """Appends exchanges to a file, each whole or not at all, in a thread: a disk must not delay tokens."""

    def __init__(self, path: str) -> None:
        """Raises OSError. An unfinished line that a crash left at the end is cut off."""
        self.kept = 0
        self.lost = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(self._file, 0o600)
            self._size = _whole_lines(self._file)
            os.ftruncate(self._file, self._size)
        except BaseException:
            os.close(self._file)
            raise
        self._thread = ThreadPoolExecutor(1, "recording")

    def keep(self, exchange: Exchange) -> "Future[None]":
        """Have it written; returns at once. The future is done when it is on the disk, or cannot be."""
        written = self._thread.submit(self._append, exchange.line())
        written.add_done_callback(self._told)
        return written

    def close(self) -> None:
        """Wait until all is written."""
        self._thread.shutdown()
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        try:
            if os.write(self._file, line) < len(line):
                raise OSError("the disk took a part of a line only")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _told(self, written: "Future[None]") -> None:
        error = written.exception()
        if error is None:
            self.kept += 1
        else:
            self.lost += 1
            _log.error("an exchange could not be kept: %s", error)


def _whole_lines(file: int) -> int:
    """How many bytes of a file are whole lines."""
    size = os.fstat(file).st_size
    while size:
        start = max(0, size - 65_536)
        at = os.pread(file, size - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        size = start
    return 0


class _Kept:
    """An answer while it comes."""

    def __init__(self, redactor: Redactor) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.streamed = False
        self.full = False
        self._redactor = redactor
        self._times: list[float] = []
        self._pieces: list[bytes] = []
        self._bytes = 0

    def begin(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self._redactor.learn(keys_in(response.headers))
        self.headers = self._redactor.headers(response.headers, ANSWER_HEADERS)
        self.streamed = response.content_type in STREAMS

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


class Recorder:
    """The relay. With a `key` it asks in its own name, else in that of the client."""

    def __init__(self, upstream: str, keeper: Keeper, *, key: str | None) -> None:
        self._upstream = URL(upstream)
        self._keeper = keeper
        self._key = key
        self._redactor = Redactor([key] if key else [])
        self._session: aiohttp.ClientSession | None = None
        self._stopping = False

    def application(self) -> web.Application:
        """What answers every path."""
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.router.add_route("*", "/{path:.*}", self.relay)
        application.cleanup_ctx.append(self._connected)
        application.on_shutdown.append(self._stop)
        return application

    async def _connected(self, application: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        connector = aiohttp.TCPConnector(limit=0)
        unasked = ("Accept", "Content-Type", "User-Agent")  # what aiohttp would say where the client said nothing
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, skip_auto_headers=unasked)
        async with self._session:
            yield

    async def _stop(self, application: web.Application) -> None:
        self._stopping = True

    async def relay(self, request: web.Request) -> web.StreamResponse:
        """Pass on, keep, and answer with what came."""
        if not request.raw_path.startswith("/"):
            return _told(400, "the request's target is no path")
        if self._key is not None and not _is_local(request):
            return _told(403, "a page of another origin asks: it may not use the key of tokenfall record")
        body = await request.read()
        self._redactor.learn(keys_in(request.headers))
        asked_at, kept = time(), _Kept(self._redactor)
        interrupted: Break | None = None
        try:
            response, interrupted = await self._pass_on(request, body, kept=kept)
        except asyncio.CancelledError:
            interrupted = "relay" if self._stopping else "client"
            raise
        finally:
            written = self._keep(request, body, kept=kept, asked_at=asked_at, interrupted=interrupted)
        await asyncio.wait([asyncio.wrap_future(written)])  # so that who has the end of the body knows it kept
        return response

    async def _pass_on(
        self, request: web.Request, body: bytes, *, kept: _Kept
    ) -> tuple[web.StreamResponse, Break | None]:
        """The answer, and who ended it early."""
        assert self._session is not None  # noqa: S101 - the application connects before it listens
        started_s = monotonic()
        url, headers = address(self._upstream, request.raw_path), self._headers(request)
        response: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method, url, data=body or None, headers=headers, allow_redirects=False
            ) as upstream:
                kept.begin(upstream)
                response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
                response.headers.extend(_end_to_end(upstream.headers))
                await response.prepare(request)
                async for piece in upstream.content.iter_any():
                    kept.take(monotonic() - started_s, piece)
                    if not await _sent(response, piece):
                        return response, "client"
        except (aiohttp.ClientError, TimeoutError, OSError):
            if response is None:
                return _told(502, "the upstream cannot be reached, or its answer cannot be read"), "upstream"
            if request.transport is not None:
                request.transport.abort()  # the end of the body must not look like one
            return response, "upstream"
        return response, "size" if kept.full else None

    def _headers(self, request: web.Request) -> list[tuple[str, str]]:
        headers = [*_end_to_end(request.headers).items(), ("Accept-Encoding", "identity")]
        if self._key is None:
            return headers
        own = [(name, value) for name, value in headers if name.lower() not in ("authorization", "x-api-key", "cookie")]
        if "anthropic-version" in request.headers:
            return [*own, ("x-api-key", self._key)]
        return [*own, ("Authorization", f"Bearer {self._key}")]

    def _keep(
        self, request: web.Request, body: bytes, *, kept: _Kept, asked_at: float, interrupted: Break | None
    ) -> "Future[None]":
        redactor = self._redactor
        document = redactor.body(body)
        asked = Request(
            method=request.method,
            path=redactor.target(request.raw_path),
            headers=redactor.headers(request.headers, REQUEST_HEADERS),
            body=NO_BODY if document is None else Raw(document),
        )
        at = datetime.fromtimestamp(asked_at, UTC).isoformat(timespec="milliseconds")
        return self._keeper.keep(Exchange(time=at, request=asked, answer=kept.answer(), interrupted=interrupted))


def address(base: URL, target: str) -> URL:
    """Where a request goes: below the base address, whichever part of its path the client has added by itself.

    A base without a path is an origin, below which the client's path stays whole.
    """
    root = base.path.rstrip("/")
    if root and not target.startswith(f"{root}/"):
        prefix = next((prefix for prefix in PREFIXES if target.startswith(prefix)), "/")
        target = f"{root}/{target[len(prefix) :]}"
    return URL(f"{base.origin()}{target}", encoded=True)


async def _sent(response: web.StreamResponse, piece: bytes) -> bool:
    """False when the client has left."""
    try:
        await response.write(piece)
    except OSError:  # aiohttp's own error of a reset connection is one
        return False
    return True


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers that a relay passes on."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    dropped = _OF_THE_CONNECTION | named
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _is_local(request: web.Request) -> bool:
    """Whether no page of another origin asks, be it by its own name or by ours (DNS rebinding)."""
    origin = request.headers.get("Origin")
    named = [URL(f"http://{request.host}").host]
    if origin is not None:
        named.append(URL(origin).host)
    return all(name in NAMES_OF_LOOPBACK for name in named)


def _told(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": f"tokenfall record: {message}", "type": "relay"}}, status=status)
