"""Any OpenAI-compatible provider as an engine. The provider's key goes into one header and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct

from tokenfall import __version__
from tokenfall.errors import TokenfallError, again
from tokenfall.events import Finished
from tokenfall.messages import ChatRequest
from tokenfall.metrics import Metrics, add
from tokenfall.ports import OnDelta, Wheel
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.key_redaction import without_key
from tokenfall.upstream.request import Request
from tokenfall.upstream.response import WholeResponse
from tokenfall.upstream.retries import Retries
from tokenfall.upstream.timeouts import UpstreamTimeouts, Watch
from tokenfall.upstream.token_stream import OnEvent, TokenStream
from tokenfall.wire import sse
from tokenfall.wire.upstream.reader import PassthroughReader, ResponseReader
from tokenfall.wire.upstream.request import encode_request

CHAT = "/chat/completions"


class PassthroughRequest(Struct, frozen=True):
    """A request that goes to the upstream as it came: `path` below the base address, and the body."""

    path: str
    body: bytes


class UpstreamEngine:
    """Relays by `client`, to the address that it is for.

    Without `retries` every request is made once. Nothing is asked again once the event callback was given anything.
    """

    def __init__(
        self,
        client: HTTPClient,
        *,
        key: str | None,
        timeouts: UpstreamTimeouts,
        wheel: Wheel,
        metrics: Metrics,
        retries: Retries | None = None,
    ) -> None:
        self._client = client
        self._headers = [("User-Agent", f"tokenfall/{__version__}"), ("Accept-Encoding", "identity")]
        if key is not None:
            self._headers.append(("Authorization", f"Bearer {key}"))
        self._key = key
        self._timeouts = timeouts
        self._wheel = wheel
        self._metrics = metrics
        self.retries = retries

    # These three give the coroutine of another: each stream under way would else hold one frame more.

    def reply(self, request: ChatRequest, on_event: OnDelta) -> Coroutine[Any, Any, Finished]:
        """See `Engine`. Raises an `UpstreamError`."""
        asked = self._chat(request)
        return self._stream(
            asked,
            lambda watch: TokenStream(
                asked, ResponseReader(), on_event=on_event, watch=watch, text_only=not request.shows_thoughts
            ),
        )

    def converse(self, request: ChatRequest, on_event: OnEvent) -> Coroutine[Any, Any, Finished]:
        """As `reply`, and tell each `ReasoningDelta` and `ToolCallDelta` too."""
        asked = self._chat(request)
        return self._stream(asked, lambda watch: TokenStream(asked, ResponseReader(), on_event=on_event, watch=watch))

    def pass_on(
        self, passthrough: PassthroughRequest, on_event: OnEvent, *, ends: Callable[[str], bool]
    ) -> Coroutine[Any, Any, Finished]:
        """Ask for a stream and tell each event as `PassthroughEvent`, its end too: `[DONE]`, or a type that `ends`
        accepts.
        """
        asked = self._request(passthrough, "POST", accept=sse.CONTENT_TYPE)
        return self._stream(
            asked, lambda watch: TokenStream(asked, PassthroughReader(ends), on_event=on_event, watch=watch)
        )

    def models(self) -> Coroutine[Any, Any, bytes]:
        """The body of the response to `GET /models`, as it is. Raises an `UpstreamError`."""
        return self.fetch(PassthroughRequest("/models", b""), method="GET")

    async def fetch(self, passthrough: PassthroughRequest, *, method: str = "POST") -> bytes:
        """The body of a whole response, as it is. Raises an `UpstreamError`."""
        request = self._request(passthrough, method, accept="application/json")
        watch = self._watch(whole=True)
        tries = 0
        while True:
            tries += 1
            response = WholeResponse(watch)
            try:
                await self._client.run(request, response, within_s=watch.ends_in_s())
            except (TokenfallError, TimeoutError) as error:
                wait_s = self._wait_s(error, watch=watch, status=response.status, tries=tries)
            else:
                return response.body
            finally:
                response.stop()
            await self._wait(wait_s)

    async def warm_up(self) -> None:
        """Begin to open connections ahead of requests."""
        self._client.warm_up()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _stream(self, request: Request, receiver: Callable[[Watch], TokenStream]) -> Finished:
        watch = self._watch()
        tries = 0
        while True:
            tries += 1
            stream = receiver(watch)
            try:
                await self._client.run(request, stream, within_s=watch.begins_in_s())
            except (TokenfallError, TimeoutError) as error:
                wait_s = self._wait_s(error, watch=watch, status=stream.status, tries=0 if stream.told else tries)
            else:
                assert stream.finished is not None  # noqa: S101 - only so a stream finishes
                return stream.finished
            finally:
                stream.stop()
            await self._wait(wait_s)

    def _wait_s(self, failure: TokenfallError | TimeoutError, *, watch: Watch, status: int, tries: int) -> float:
        """How long to wait before the next try. Raises what the caller is to be told when there is none.

        `tries` is 0 when the callback was given something: what was said is not asked for again. The error raised is a
        new one: one that is kept in a frame of its own traceback would wait for the garbage collector.
        """
        error = watch.error() if isinstance(failure, TimeoutError) else failure
        if self.retries is not None and tries:
            wait_s = self.retries.wait_s(error, status=status, tries=tries, left_s=watch.begins_in_s())
            if wait_s is not None:
                return wait_s
        add(self._metrics.upstream_errors, error.code)
        # Some providers repeat what they were sent: the key must not come back to a caller.
        raise again(error, without_key(error.message, self._key)) from None

    async def _wait(self, wait_s: float) -> None:
        assert self.retries is not None  # noqa: S101 - who waits retries
        self._metrics.upstream_retries += 1
        await self.retries.clock.sleep_until(self._wheel.now() + wait_s)

    def _watch(self, *, whole: bool = False) -> Watch:
        return Watch(self._wheel, self._timeouts, started_s=self._wheel.now(), whole=whole)

    def _chat(self, request: ChatRequest) -> Request:
        return self._request(PassthroughRequest(CHAT, encode_request(request)), "POST", accept=sse.CONTENT_TYPE)

    def _request(self, passthrough: PassthroughRequest, method: str, *, accept: str) -> Request:
        headers = [*self._headers, ("Accept", accept)]
        if method != "POST":
            return Request(method, passthrough.path, headers=headers)
        headers.append(("Content-Type", "application/json"))
        return Request(method, passthrough.path, headers=headers, body=passthrough.body)
