"""Any OpenAI-compatible provider as an engine.

Only this module and `tap` import aiohttp; `tokenfall.bootstrap` imports them only when an upstream is set. Foreign
exceptions are translated here. The provider's key goes into one header and nowhere else.
"""

import asyncio

import aiohttp

from tokenfall.engines.answers import refusal
from tokenfall.engines.tap import Tap
from tokenfall.engines.watch import UpstreamTimeouts, Watch
from tokenfall.errors import TokenfallError, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from tokenfall.events import Finished
from tokenfall.messages import ChatRequest
from tokenfall.metrics import Metrics, add
from tokenfall.ports import Hear, Wheel
from tokenfall.wire import openai, sse

MAX_ERROR_BODY_BYTES = 65_536


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

    async def reply(self, request: ChatRequest, hear: Hear) -> Finished:
        """See `Engine`. Raises an `UpstreamError`."""
        started_s = self._wheel.now()
        try:
            async with asyncio.timeout(self._timeouts.first_token_s):
                response = await self._post(request)
            async with response:
                if response.status != 200:
                    async with asyncio.timeout(self._timeouts.next_token_s):
                        body = await response.content.read(MAX_ERROR_BODY_BYTES)
                    raise refusal(response.status, body, retry_after=response.headers.get("Retry-After"))
                watch = Watch(self._wheel, self._timeouts, started_s=started_s)
                return await Tap(response, hear, watch=watch).answer()
        except (TokenfallError, aiohttp.ClientError, ConnectionError, TimeoutError) as foreign:
            error = _translated(foreign)
            add(self._metrics.upstream_errors, error.code)
            raise error from None

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
