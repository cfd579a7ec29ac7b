"""Any OpenAI-compatible provider as an engine.

Only this module and `tap` import aiohttp; `tokenfall.bootstrap` imports them only when an upstream is set. Foreign
exceptions are translated here. The provider's key goes into one header and nowhere else.
"""

import asyncio

import aiohttp

from tokenfall.engines.answers import refusal
from tokenfall.engines.tap import Tap
from tokenfall.engines.watch import UpstreamTimeouts, Watch
from tokenfall.errors import TokenfallError, UpstreamTimeout, UpstreamUnreachable
from tokenfall.events import Finished
from tokenfall.messages import ChatRequest
from tokenfall.metrics import Metrics, add
from tokenfall.ports import Hear, Wheel
from tokenfall.wire import openai, sse

MAX_ERROR_BODY_BYTES = 65_536
SETTLE_S = 0.25
"""How long an answer that has said `[DONE]` may take to end, for its connection to be used again."""


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
        self._key = key
        self._timeouts = timeouts
        self._wheel = wheel
        self._metrics = metrics
        self._session: aiohttp.ClientSession | None = None
        self._settling: set[asyncio.Future[None]] = set()

    async def reply(self, request: ChatRequest, hear: Hear) -> Finished:
        """See `Engine`. Raises an `UpstreamError`."""
        started_s = self._wheel.now()
        response: aiohttp.ClientResponse | None = None
        finished: Finished | None = None
        try:
            async with asyncio.timeout(min(self._timeouts.first_token_s, self._timeouts.total_s)):
                response = await self._post(request)
                if response.status != 200:
                    body = await _beginning(response.content)
                    raise refusal(response.status, body, retry_after=response.headers.get("Retry-After"))
            watch = Watch(self._wheel, self._timeouts, started_s=started_s)
            finished = await Tap(response, hear, watch=watch).answer()
        except (TokenfallError, aiohttp.ClientError, ConnectionError, TimeoutError) as foreign:
            error = self._without_key(_translated(foreign))
            add(self._metrics.upstream_errors, error.code)
            raise error from None
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
            return type(error)(error.message.replace(self._key, "[key]"), retry_after_s=error.retry_after_s)
        return error

    async def close(self) -> None:
        """Close all connections."""
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _post(self, request: ChatRequest) -> aiohttp.ClientResponse:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s)
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        body = openai.encode_request(request)
        return await self._session.post(self._url, data=body, headers=self._headers, allow_redirects=False)


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """The beginning of an error's body; all that is read of it."""
    body = b""
    while len(body) < MAX_ERROR_BODY_BYTES and (piece := await content.readany()):
        body += piece
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
    return UpstreamUnreachable("the connection to the upstream broke before an answer came")
