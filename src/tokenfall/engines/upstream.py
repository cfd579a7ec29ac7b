"""Any OpenAI-compatible provider as an engine.

Only this module, `tap`, `foreign` and `recorder` import aiohttp; `tokenfall.bootstrap` imports them only when an
upstream is set.
The provider's key goes into one header and nowhere else.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from msgspec import Struct

from tokenfall.engines.answers import is_encoded, is_event_stream, no_stream, refusal
from tokenfall.engines.foreign import translated
from tokenfall.engines.retries import Retries
from tokenfall.engines.tap import HearAny, Reader, Tap
from tokenfall.engines.watch import UpstreamTimeouts, Watch
from tokenfall.errors import TokenfallError, UpstreamMalformed
from tokenfall.events import Delta, Finished, Said
from tokenfall.messages import ChatRequest
from tokenfall.metrics import Metrics, add
from tokenfall.ports import Hear, Wheel
from tokenfall.wire import sse
from tokenfall.wire.upstream.reader import PassthroughReader, ResponseReader
from tokenfall.wire.upstream.request import encode_request

CHAT = "/chat/completions"
MAX_ERROR_BODY_BYTES = 65_536
MAX_WHOLE_BYTES = 16_777_216
BODY_S = 1.0
"""How long the words of a refusal are waited for."""
SETTLE_S = 0.25
"""How long an answer that has said `[DONE]` may take to end, for its connection to be used again."""


class Passing(Struct, frozen=True):
    """A request that goes to the upstream as it came: `path` below the base address, and the body."""

    path: str
    body: bytes


class _Asking(Struct):
    """One request over all its tries. `status` is what the last one was answered with, 0 for none."""

    passing: Passing
    reader: Callable[[], Reader]
    hear: HearAny
    watch: Watch
    status: int = 0


class UpstreamEngine:
    """Relays to `base_url` (`https://api.groq.com/openai/v1`, say). One connection pool for all requests.

    Without `retries` every request is made once. Whatever is said to `hear` has been said: from then on nothing is
    asked again.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None,
        *,
        timeouts: UpstreamTimeouts,
        wheel: Wheel,
        metrics: Metrics,
        retries: Retries | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {
            "Content-Type": "application/json",
            "Accept": sse.CONTENT_TYPE,
            "Accept-Encoding": "identity",
        }
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._key = key
        self._timeouts = timeouts
        self._wheel = wheel
        self._metrics = metrics
        self.retries = retries
        self._session: aiohttp.ClientSession | None = None
        self._settling: set[asyncio.Future[None]] = set()

    # These three give the coroutine of another: each stream under way would else hold one frame more.

    def reply(self, request: ChatRequest, hear: Hear) -> Coroutine[Any, Any, Finished]:
        """See `Engine`. Raises an `UpstreamError`."""

        def heard(said: Said) -> Any:  # noqa: ANN401 - as `hear`
            return hear(said) if type(said) is Delta else None

        return self._ask(Passing(CHAT, encode_request(request)), ResponseReader, hear=heard)

    def converse(self, request: ChatRequest, hear: HearAny) -> Coroutine[Any, Any, Finished]:
        """As `reply`, and tell each `Thought` and `CallPart` too."""
        return self._ask(Passing(CHAT, encode_request(request)), ResponseReader, hear=hear)

    def pass_on(self, passing: Passing, hear: HearAny, *, ends: Callable[[str], bool]) -> Coroutine[Any, Any, Finished]:
        """Ask for a stream and tell each event as `Passed`, its end too: `[DONE]`, or a type that `ends` accepts."""
        return self._ask(passing, lambda: PassthroughReader(ends), hear=hear)

    def models(self) -> Coroutine[Any, Any, bytes]:
        """The answer to `GET /models`, as it is. Raises an `UpstreamError`."""
        return self.fetch(Passing("/models", b""), method="GET")

    async def fetch(self, passing: Passing, *, method: str = "POST") -> bytes:
        """A whole answer's body, as it is. Raises an `UpstreamError`."""
        watch = Watch(self._wheel, self._timeouts, started_s=self._wheel.now())
        tries = 0
        while True:
            tries += 1
            status = 0
            try:
                async with asyncio.timeout(watch.ends_in_s()):
                    async with await self._send(passing, method=method, streams=False) as response:
                        status = response.status
                        return await _whole(response)
            except (TokenfallError, aiohttp.ClientError, ConnectionError, TimeoutError) as foreign:
                error = translated(foreign, late=watch.error())
            await self._before_next(error, status=status, tries=tries, watch=watch)

    async def _ask(self, passing: Passing, reader: Callable[[], Reader], *, hear: HearAny) -> Finished:
        asking = _Asking(passing, reader, hear, Watch(self._wheel, self._timeouts, started_s=self._wheel.now()))
        tries = 0
        while True:
            tries += 1
            try:
                return await self._try(asking)
            except TokenfallError as failure:
                error = failure
            await self._before_next(error, status=asking.status, tries=tries, watch=asking.watch)

    async def _before_next(self, error: TokenfallError, *, status: int, tries: int, watch: Watch) -> None:
        """Wait until it is time for the next try. Raises `error` when there is none: not after the first token."""
        wait_s = None
        if self.retries is not None and not watch.last_token_s:
            wait_s = self.retries.wait_s(error, status=status, tries=tries, left_s=watch.begins_in_s())
        if self.retries is None or wait_s is None:
            add(self._metrics.upstream_errors, error.code)
            raise self._without_key(error) from None
        self._metrics.upstream_retries += 1
        await self.retries.clock.sleep_until(self._wheel.now() + wait_s)

    async def _try(self, asking: _Asking) -> Finished:
        """Ask once. Raises nothing but a `TokenfallError`; then the connection is closed."""
        response: aiohttp.ClientResponse | None = None
        finished: Finished | None = None
        asking.status = 0
        try:
            async with asyncio.timeout(asking.watch.begins_in_s()):
                response = await self._send(asking.passing)
                asking.status = response.status
                await _check(response)
            finished = await Tap(response, asking.reader(), hear=asking.hear, watch=asking.watch).answer()
        except (TokenfallError, aiohttp.ClientError, ConnectionError, TimeoutError) as foreign:
            raise translated(foreign, late=asking.watch.error()) from None
        finally:
            if response is not None and finished is None:
                response.close()
        self._settle(response)
        return finished

    def _settle(self, response: aiohttp.ClientResponse) -> None:
        """Read the end of the body, which follows `[DONE]`, so that the connection serves the next chat."""
        task = asyncio.ensure_future(_read_end(response))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def _without_key(self, error: TokenfallError) -> TokenfallError:
        """Some providers repeat what they were sent: the key must not come back to a caller."""
        if self._key and self._key in error.message:
            message = error.message.replace(self._key, "[key]")
            return type(error)(message, retry_after_s=error.retry_after_s, param=error.param, status=error.status)
        return error

    async def close(self) -> None:
        """Close all connections."""
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _send(self, passing: Passing, *, method: str = "POST", streams: bool = True) -> aiohttp.ClientResponse:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect_s)
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        url = self._base_url + passing.path
        body = passing.body if method == "POST" else None
        headers = self._headers if streams else {**self._headers, "Accept": "application/json"}
        return await self._session.request(method, url, data=body, headers=headers, allow_redirects=False)


async def _check(response: aiohttp.ClientResponse) -> None:
    """Return when the body is to be read as a stream. Raises an `UpstreamError`."""
    headers = response.headers
    if response.status != 200:
        body = await _beginning(response.content)
        raise refusal(response.status, body, retry_after=headers.get("Retry-After"))
    if is_encoded(headers.get("Content-Encoding")):
        raise UpstreamMalformed("the upstream's answer is compressed, which was not asked for")
    if not is_event_stream(headers.get("Content-Type")):
        raise no_stream(await _beginning(response.content))


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """The whole body of an answer that is no stream. Raises an `UpstreamError`."""
    if response.status != 200:
        raise refusal(
            response.status, await _beginning(response.content), retry_after=response.headers.get("Retry-After")
        )
    if is_encoded(response.headers.get("Content-Encoding")):
        raise UpstreamMalformed("the upstream's answer is compressed, which was not asked for")
    body = b""
    while piece := await response.content.readany():
        body += piece
        if len(body) > MAX_WHOLE_BYTES:
            raise UpstreamMalformed(f"the upstream's answer has more than {MAX_WHOLE_BYTES} bytes")
    return body


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """The beginning of a body that is no answer; what has come of it when it breaks or dawdles."""
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            while len(body) < MAX_ERROR_BODY_BYTES and (piece := await content.readany()):
                body += piece
    except (aiohttp.ClientError, ConnectionError, TimeoutError):
        pass  # the status has been said, and is worth more than the words
    return body[:MAX_ERROR_BODY_BYTES]


async def _read_end(response: aiohttp.ClientResponse) -> None:
    """Give the connection back if the body ends within `SETTLE_S`, else close it."""
    try:
        async with asyncio.timeout(SETTLE_S):
            while await response.content.readany():
                pass
        response.release()
    except (aiohttp.ClientError, ConnectionError, TimeoutError):
        response.close()
    except asyncio.CancelledError:
        response.close()
        raise
