"""Any OpenAI-compatible provider as an engine.

This is the one module that imports aiohttp; `tokenfall.bootstrap` imports it only when an upstream is set. Foreign
exceptions are translated here. The provider's key goes into one header and nowhere else.
"""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
from msgspec import Struct

from tokenfall.deadlines import Deadlined
from tokenfall.engines.answers import refusal
from tokenfall.errors import TokenfallError, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from tokenfall.events import Delta, Event, Finished, FinishReason, Usage
from tokenfall.messages import ChatRequest
from tokenfall.metrics import Metrics, add
from tokenfall.ports import Wheel
from tokenfall.wire import openai, sse

MAX_ERROR_BODY_BYTES = 65_536


class UpstreamTimeouts(Struct, frozen=True, kw_only=True):
    """Seconds; each runs from the end of the phase before, the last from the start."""

    connect_s: float = 5.0
    first_token_s: float = 30.0
    next_token_s: float = 15.0
    total_s: float = 300.0


class UpstreamEngine:
    """Relays to `base_url` (`https://api.groq.com/openai/v1`, say). One connection pool for all requests."""

    def __init__(
        self, base_url: str, key: str | None, *, timeouts: UpstreamTimeouts, wheel: Wheel, metrics: Metrics
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {
            "Content-Type": "application/json",
            "Accept": sse.CONTENT_TYPE,
            "Accept-Encoding": "identity",
        }
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeouts = timeouts
        self._wheel = wheel
        self._metrics = metrics
        self._session: aiohttp.ClientSession | None = None

    async def reply(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """See `Engine`. Raises an `UpstreamError`."""
        watch = _Watch(self._wheel, self._timeouts)
        try:
            async with asyncio.timeout(self._timeouts.first_token_s):
                response = await self._post(request)
            async with response:
                if response.status != 200:
                    async with asyncio.timeout(self._timeouts.next_token_s):
                        body = await response.content.read(MAX_ERROR_BODY_BYTES)
                    raise refusal(response.status, body, retry_after=response.headers.get("Retry-After"))
                async for event in _events(response.content, watch):
                    yield event
        except (TokenfallError, aiohttp.ClientError, ConnectionError, TimeoutError) as foreign:
            error = _translated(foreign)
            add(self._metrics.upstream_errors, error.code)
            raise error from None
        finally:
            watch.clear_deadline()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, request: ChatRequest) -> aiohttp.ClientResponse:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s)
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        body = openai.encode_request(request)
        return await self._session.post(self._url, data=body, headers=self._headers, allow_redirects=False)


def _translated(error: Exception) -> TokenfallError:
    """A foreign exception in our words: which phase failed, and no text of its own."""
    if isinstance(error, TokenfallError):
        return error
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamTimeout("the upstream did not accept a connection in time")
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("the upstream did not begin to answer in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamUnreachable("the upstream cannot be reached")
    return UpstreamBroken("the connection to the upstream broke")


async def _events(content: aiohttp.StreamReader, watch: "_Watch") -> AsyncGenerator[Event, None]:
    """The events of a streaming answer; only `[DONE]` is its genuine end."""
    decoder = sse.SSEDecoder()
    reason: FinishReason = "stop"
    usage: Usage | None = None
    model = ""
    watch.content = content
    while True:
        watch.begin()
        data = await content.readany()
        watch.waiting = False
        if not data:
            raise UpstreamBroken("the upstream's answer ended without its end")
        for payload in decoder.feed(data):
            if payload == openai.DONE:
                yield Finished(reason, model, usage)
                return
            chunk = openai.decode_chunk(payload)
            model = chunk.model or model
            usage = chunk.counted or usage
            for choice in chunk.choices[:1]:
                if choice.finish_reason is not None:
                    reason = openai.finish_reason(choice.finish_reason)
                if choice.delta.content:
                    watch.progressed = True
                    yield Delta(choice.delta.content)


class _Watch(Deadlined):
    """The deadlines of one answer's tokens: when one passes, the read that waits ends with `UpstreamTimeout`.

    Only a token is progress, a comment or an empty chunk is not. Time in which nobody reads, because the client is
    slow, is not the upstream's.
    """

    __slots__ = ("_begun", "_ends_s", "_next_token_s", "content", "progressed", "waiting")

    def __init__(self, wheel: Wheel, timeouts: UpstreamTimeouts) -> None:
        super().__init__(wheel)
        now = wheel.now()
        self._ends_s = now + timeouts.total_s
        self._next_token_s = timeouts.next_token_s
        self._begun = False
        self.content: aiohttp.StreamReader | None = None
        self.progressed = False
        self.waiting = False
        self.set_deadline(min(now + timeouts.first_token_s, self._ends_s))

    def begin(self) -> None:
        """A read is about to wait."""
        self.waiting = True
        if self.progressed:
            self.progressed = False
            self._begun = True
            self.set_deadline(min(self._wheel.now() + self._next_token_s, self._ends_s))

    def expired(self) -> None:
        if self.content is None or not self.waiting:
            return
        begun = "go on" if self._begun else "begin to answer"
        late = "end" if self._wheel.now() >= self._ends_s else begun
        self.content.set_exception(UpstreamTimeout(f"the upstream did not {late} in time"))
