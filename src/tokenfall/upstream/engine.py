"""The engine for any OpenAI-compatible provider. Called by `chat` and `api`; the API key is sent in one header only."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tokenfall import __version__
from tokenfall.errors import (
    RequestMemoryFull,
    ResponseMemoryFull,
    TokenfallError,
    UpstreamError,
    UpstreamRefused,
    copy_error,
)
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.http.encoding import header_lines
from tokenfall.memory.leases import RequestMemory
from tokenfall.messages import ChatRequest
from tokenfall.metrics.registry import OTHER, Metrics, add
from tokenfall.ports import OnDelta, Wheel
from tokenfall.upstream.client import HTTPClient
from tokenfall.upstream.key_redaction import without_key
from tokenfall.upstream.known_rewrites import KnownRewrites
from tokenfall.upstream.relayed_response import RelayedResponse
from tokenfall.upstream.request import UpstreamRequest
from tokenfall.upstream.response import CompleteResponse
from tokenfall.upstream.retries import Retries
from tokenfall.upstream.timeouts import UpstreamTimeouts, Watch
from tokenfall.upstream.token_stream import ALL, OnEvent, Reader, TokenStream
from tokenfall.wire import sse
from tokenfall.wire.tool_names import upstream_name
from tokenfall.wire.upstream.reader import PassthroughReader, ResponseReader
from tokenfall.wire.upstream.request import encode_request
from tokenfall.wire.upstream.rewrites import needed_rewrite

if TYPE_CHECKING:
    from tokenfall.http.response import Send

CHAT = "/chat/completions"
_JSON = "application/json"
_ACCEPT = {accept: header_lines([("Accept", accept)]) for accept in (sse.CONTENT_TYPE, _JSON)}
_JSON_BODY = header_lines([("Content-Type", _JSON)])

R = TypeVar("R", bound=CompleteResponse)


class PassthroughRequest(Struct, frozen=True):
    """A request forwarded to the upstream unchanged: `path` relative to the base address, and the body.

    Without a body it is a GET, otherwise a POST. `model` is the one in the body, for the metrics of a streamed
    response. `caller` is the name of the caller.
    """

    path: str
    body: bytes | None = None
    model: str = ""
    caller: str = ""


class UpstreamEngine:
    """Sends requests with `client`, to its address.

    Without `retries`, each request is sent once. A request is never retried after its first event was reported.
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
        headers = [("User-Agent", f"tokenfall/{__version__}"), ("Accept-Encoding", "identity")]
        if key is not None:
            headers.append(("Authorization", f"Bearer {key}"))
        self._headers = header_lines(headers)
        self._key = key
        self._timeouts = timeouts
        self._wheel = wheel
        self._metrics = metrics
        self.memory: RequestMemory | None = None
        """Memory of requests until their first event; None for no limit."""
        self.retries = retries
        self._rewrites = KnownRewrites(wheel.now)

    # These three return the coroutine of another method instead of awaiting it, to save one frame per stream.

    def reply(self, request: ChatRequest, on_event: OnDelta) -> Coroutine[Any, Any, Finished]:
        """See `Engine`. Raises an `UpstreamError`."""
        first = self._first(request)
        reports = (TextDelta, ReasoningDelta) if request.reports_reasoning else (TextDelta,)
        return self._stream(
            first, ResponseReader, on_event=on_event, model=request.model, caller=request.caller.name, reports=reports
        )

    def converse(self, request: ChatRequest, on_event: OnEvent) -> Coroutine[Any, Any, Finished]:
        """As `reply`, and report each `ReasoningDelta` and `ToolCallDelta` too."""
        tools = [upstream_name(tool.name) for tool in request.tools]
        reader = partial(ResponseReader, logprobs=request.logprobs is not None, tools=tools)
        return self._stream(
            self._first(request), reader, on_event=on_event, model=request.model, caller=request.caller.name
        )

    def pass_through(
        self, passthrough: PassthroughRequest, on_event: OnEvent, *, ends: Callable[[str], bool]
    ) -> Coroutine[Any, Any, Finished]:
        """Forward a streaming request and report each event as `PassthroughEvent`, including the final one: `[DONE]`,
        or a type for which `ends` returns True.
        """
        encoded = self._request(passthrough, accept=sse.CONTENT_TYPE)
        model, caller = passthrough.model, passthrough.caller
        return self._stream(encoded, partial(PassthroughReader, ends), on_event=on_event, model=model, caller=caller)

    def models(self) -> Coroutine[Any, Any, bytes]:
        """The unchanged body of the response to `GET /models`. Raises an `UpstreamError`."""
        return self.fetch(PassthroughRequest("/models"))

    async def fetch(self, passthrough: PassthroughRequest, *, on_size: Callable[[int], None] | None = None) -> bytes:
        """The unchanged body of a non-streaming response. Raises an `UpstreamError`.

        `on_size` is called with the size received so far; a `TokenfallError` that it raises ends the request.
        """
        response = await self._whole(passthrough, partial(CompleteResponse, on_size=on_size))
        response.close()
        return response.body

    def relay(self, passthrough: PassthroughRequest) -> Coroutine[Any, Any, RelayedResponse]:
        """A non-streaming response, once it is complete or its first slice is there. Raises an `UpstreamError`.

        The caller must `close` it. It is not retried after its first slice.
        """
        return self._whole(passthrough, RelayedResponse)

    async def forward(self, response: RelayedResponse, send: Send) -> None:
        """Send the body of a large response. Raises an `UpstreamError`."""
        try:
            await response.forward(send)
        except UpstreamError as error:
            raise self._reported(error) from None

    async def _whole(self, passthrough: PassthroughRequest, receiver: Callable[[Watch], R]) -> R:
        request = self._request(passthrough, accept=_JSON)
        caller = passthrough.caller
        del passthrough  # so that `request` alone holds the body
        watch = self._watch(non_streaming=True)
        tries = 0
        try:
            self._hold(request, caller)
            while True:
                tries += 1
                response = receiver(watch)
                try:
                    await self._client.run(request, response, within_s=watch.total_left_s())
                except (TokenfallError, TimeoutError) as error:
                    response.close()
                    wait_s = self._wait_s(error, watch=watch, status=response.status, tries=tries)
                except BaseException:
                    response.close()
                    raise
                else:
                    return response
                await self._wait(wait_s)
        finally:
            request.release()

    def _hold(self, request: UpstreamRequest, caller: str) -> None:
        """Count the memory of a request. Raises `RequestMemoryFull`."""
        if self.memory is not None:
            request.lease = self.memory.lease(caller)
            request.lease.resize(request.size_bytes())

    async def warm_up(self) -> None:
        """Start to open connections in advance."""
        self._client.warm_up()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _stream(
        self,
        request: UpstreamRequest,
        reader: Callable[[], Reader],
        *,
        on_event: OnEvent,
        model: str,
        caller: str,
        reports: tuple[type, ...] = ALL,
    ) -> Finished:
        watch = self._watch(model=model)
        tries = 0
        try:
            self._hold(request, caller)
            while True:
                tries += 1
                stream = TokenStream(request, reader(), on_event=on_event, watch=watch, reports=reports)
                try:
                    await self._client.run(request, stream, within_s=watch.first_token_left_s())
                except (TokenfallError, TimeoutError) as error:
                    rewritten = self._rewritten(request, error)
                    if rewritten is not None:
                        rewritten.lease, request.lease = request.lease, None
                        request, tries = rewritten, 0
                        continue
                    status, tried = stream.status, 0 if stream.reported else tries
                    wait_s = self._wait_s(error, watch=watch, status=status, tries=tried)
                else:
                    assert stream.finished is not None  # noqa: S101 - set by every stream that ends without an error
                    return stream.finished
                finally:
                    stream.stop()
                await self._wait(wait_s)
        finally:
            request.release()

    def _rewritten(self, request: UpstreamRequest, error: Exception) -> UpstreamRequest | None:
        """The request with the rewrite that it needs after `error`; None if none helps."""
        if request.chat is None or not isinstance(error, UpstreamRefused):
            return None
        rewrite = needed_rewrite(error, request.chat)
        if rewrite is None:
            return None
        rewritten = self._chat(replace(request.chat, rewrites=request.chat.rewrites | {rewrite}))
        rewritten.on_accepted = self._rewrites.remember
        return rewritten

    def _wait_s(self, failure: TokenfallError | TimeoutError, *, watch: Watch, status: int, tries: int) -> float:
        """How long to wait before the next try. Raises the error for the caller if there is none.

        `tries` is 0 after an event was reported: such a request is not retried. The error raised is a new object,
        because the stored one is referenced by a frame of its own traceback, a cycle that only the garbage collector
        would free.
        """
        error = watch.error() if isinstance(failure, TimeoutError) else failure
        if self.retries is not None and tries:
            wait_s = self.retries.wait_s(error, status=status, tries=tries, left_s=watch.retries_left_s())
            if wait_s is not None:
                return wait_s
        raise self._reported(error) from None

    def _reported(self, error: TokenfallError) -> TokenfallError:
        """Count an error, and copy it without the key, which some providers repeat in their errors."""
        if not isinstance(error, (RequestMemoryFull, ResponseMemoryFull)):
            add(self._metrics.upstream_errors, error.code)
        return copy_error(error, without_key(error.message, self._key))

    async def _wait(self, wait_s: float) -> None:
        assert self.retries is not None  # noqa: S101 - called for retries only
        self._metrics.upstream_retries += 1
        await self.retries.clock.sleep_until(self._wheel.now() + wait_s)

    def _watch(self, *, non_streaming: bool = False, model: str = "") -> Watch:
        return Watch(
            self._wheel,
            self._timeouts,
            started_s=self._wheel.now(),
            non_streaming=non_streaming,
            metrics=self._metrics,
            model=model or OTHER,
        )

    def _first(self, request: ChatRequest) -> UpstreamRequest:
        """A chat request, with the rewrites that are known for its model."""
        return self._chat(self._rewrites.applied(request))

    def _chat(self, request: ChatRequest) -> UpstreamRequest:
        encoded = self._request(PassthroughRequest(CHAT, encode_request(request)), accept=sse.CONTENT_TYPE)
        encoded.chat = request
        return encoded

    def _request(self, passthrough: PassthroughRequest, *, accept: str) -> UpstreamRequest:
        headers = self._headers + _ACCEPT[accept]
        if passthrough.body is None:
            return UpstreamRequest("GET", passthrough.path, headers=headers)
        return UpstreamRequest("POST", passthrough.path, headers=headers + _JSON_BODY, body=passthrough.body)
