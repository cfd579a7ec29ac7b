"""Relays provider requests to the upstream: passed through if it has the same dialect, otherwise translated."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tokenfall.api.documents import document, long_document, sliced
from tokenfall.api.prepared_response import without_question
from tokenfall.events import Finished, OutputEvent, PassthroughEvent, TextDelta, ToolCallDelta
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.messages import ChatRequest
from tokenfall.simulator.estimate import ResponseEstimate
from tokenfall.upstream.engine import PassthroughRequest, UpstreamEngine
from tokenfall.utf8 import utf8_size
from tokenfall.wire import sse
from tokenfall.wire.dialect import Dialect, ModelResponse, ParsedRequest, ResponseMeta, ResponseTiming, decoded
from tokenfall.wire.event_encoder import Accumulator, EventEncoder
from tokenfall.wire.event_normalizer import EventNormalizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tokenfall.http.response import Send
    from tokenfall.memory.leases import MemoryLease, ResponseMemory


class _PassthroughFields(Struct):
    """The fields that are needed of a request that is passed through; the upstream validates all others."""

    model: str
    stream: bool | None = None


_decoder = msgspec.json.Decoder(_PassthroughFields)
AT_ONCE_S = 0.001
"""If less time passes from the first token to the end, the response arrived at once and its TTFT is unknown."""


class StreamFraming(NamedTuple):
    """The events of a passed-through stream. `ends`: the types of those that end it, besides `[DONE]`.

    `frame` encodes an event as it is sent to the client.
    """

    ends: frozenset[str]
    frame: Callable[[PassthroughEvent], bytes]


DONE = StreamFraming(frozenset(), lambda event: sse.frame(event.data))
"""Chat and legacy completions: events have only `data`."""

RESPONSES = StreamFraming(
    frozenset(("response.completed", "response.incomplete", "response.failed", "error")),
    lambda event: sse.frame(event.data, event.type if event.type.isprintable() else ""),
)
"""Responses API: `event` is the type."""


class PassthroughStream:
    """One passed-through stream. Implements `Run`."""

    __slots__ = ("_framing", "_passthrough", "_upstream", "frames")

    def __init__(self, upstream: UpstreamEngine, passthrough: PassthroughRequest, *, framing: StreamFraming) -> None:
        self._upstream = upstream
        self._passthrough = passthrough
        self._framing = framing
        self.frames = 0

    async def __call__(self, send: Send) -> bytes:
        framing = self._framing

        def on_event(event: PassthroughEvent) -> Any:  # noqa: ANN401 - as `Send`
            number = event.number
            self.frames = (number if number >= 0 else self.frames) + 1
            return send(event.frame or framing.frame(event), is_token=event.is_token)

        relaying = self._upstream.pass_through(self._passthrough, on_event, ends=framing.ends.__contains__)
        del self._passthrough  # so that the upstream engine can free the request body when it no longer needs it
        await relaying
        return b""


class PassthroughRelay:
    """Passes requests in the upstream's own dialect through. `path` is below its base URL. Implements `Relay`."""

    def __init__(self, upstream: UpstreamEngine, path: str, *, framing: StreamFraming) -> None:
        self._upstream = upstream
        self._path = path
        self._framing = framing

    def decode(self, body: bytes) -> ParsedRequest:
        fields = decoded(_decoder, body)
        request = ChatRequest(messages=(), model=fields.model, max_tokens=0)
        return ParsedRequest(request=request, stream=bool(fields.stream))

    def stream(self, request: Request, parsed: ParsedRequest, *, meta: ResponseMeta) -> PassthroughStream:
        passthrough = PassthroughRequest(self._path, request.body, parsed.request.model, parsed.request.caller.name)
        return PassthroughStream(self._upstream, passthrough, framing=self._framing)

    async def complete_response(
        self, request: Request, parsed: ParsedRequest, *, meta: ResponseMeta
    ) -> Response | LiveStream:
        passthrough = PassthroughRequest(self._path, request.body, caller=parsed.request.caller.name)
        request.drop_content()
        return await passed_through(self._upstream, passthrough)


async def passed_through(upstream: UpstreamEngine, passthrough: PassthroughRequest) -> Response | LiveStream:
    """The upstream's non-streaming response. A large one is forwarded as the client reads it."""
    relayed = await upstream.relay(passthrough)
    if not relayed.is_large:
        relayed.close()
        return document(relayed.body)

    async def run(send: Send) -> bytes:
        await upstream.forward(relayed, send)
        return b""

    stream = long_document(run)
    stream.ended = relayed.close
    return stream


class TranslatedStream:
    """One translated stream. Implements `Run`."""

    __slots__ = ("_dialect", "_meta", "_parsed", "_upstream", "frames")

    def __init__(
        self, upstream: UpstreamEngine, dialect: Dialect, *, parsed: ParsedRequest, meta: ResponseMeta
    ) -> None:
        self._upstream = upstream
        self._dialect = dialect
        self._parsed = parsed
        self._meta = meta
        self.frames = 0

    async def __call__(self, send: Send) -> bytes:
        meta, parsed = self._meta, self._parsed
        request, self._parsed = parsed.request, without_question(parsed)
        encoder = EventEncoder(self._dialect.encoder(parsed, meta))
        normalizer = EventNormalizer(request, meta.number)
        estimate = ResponseEstimate()
        first_event_s = 0.0

        def on_event(event: OutputEvent) -> Any:  # noqa: ANN401 - as `Send`
            nonlocal first_event_s
            first_event_s = first_event_s or time()
            estimate.add(event)
            frames = b"".join(map(encoder.frames, normalizer.add(event)))
            return send(frames) if frames else None

        conversing = self._upstream.converse(request, on_event)
        del request, parsed  # the messages may be large, and the response long
        queued, finished = normalizer.end(_with_usage(await conversing, estimate, meta=meta))
        return b"".join(map(encoder.frames, queued)) + encoder.end(finished, _timing(meta, first_event_s))


class TranslatedRelay:
    """Requests a chat completion for any other dialect and encodes its events in `dialect`. Implements `Relay`."""

    def __init__(self, upstream: UpstreamEngine, dialect: Dialect, *, memory: ResponseMemory) -> None:
        self._upstream = upstream
        self._dialect = dialect
        self._memory = memory

    def decode(self, body: bytes) -> ParsedRequest:
        return self._dialect.for_upstream(self._dialect.decode(body))

    def stream(self, request: Request, parsed: ParsedRequest, *, meta: ResponseMeta) -> TranslatedStream:
        return TranslatedStream(self._upstream, self._dialect, parsed=parsed, meta=meta)

    async def complete_response(
        self, request: Request, parsed: ParsedRequest, *, meta: ResponseMeta
    ) -> Response | LiveStream:
        request.drop_content()
        with self._memory.lease(parsed.request.caller.name) as lease:
            response = await self._accumulated(parsed, meta, lease=lease)
            lease.resize(response.choices[0].size_bytes())
            return await sliced(iter(self._dialect.encode_response(parsed, response)), lease=lease)

    async def _accumulated(self, parsed: ParsedRequest, meta: ResponseMeta, *, lease: MemoryLease) -> ModelResponse:
        accumulator = Accumulator()
        normalizer = EventNormalizer(parsed.request, meta.number)
        estimate = ResponseEstimate()
        first_event_s = 0.0

        def on_event(event: OutputEvent) -> None:
            nonlocal first_event_s
            lease.grow(_size_bytes(event))
            first_event_s = first_event_s or time()
            estimate.add(event)
            for each in normalizer.add(event):
                accumulator.on_event(each)

        finished = await self._upstream.converse(parsed.request, on_event)
        queued, finished = normalizer.end(_with_usage(finished, estimate, meta=meta))
        for each in queued:
            accumulator.on_event(each)
        choices = (accumulator.choice(finished),)
        return ModelResponse(meta=meta, choices=choices, finished=finished, timing=_timing(meta, first_event_s))


def _with_usage(finished: Finished, estimate: ResponseEstimate, *, meta: ResponseMeta) -> Finished:
    """`finished` with an estimate in place of each token count that the upstream did not send."""
    return replace(finished, usage=estimate.usage(finished.usage, prompt_tokens=meta.prompt_tokens))


def _size_bytes(event: OutputEvent) -> int:
    """Size of the text of an event in UTF-8, and of its log probabilities."""
    text = event.arguments if isinstance(event, ToolCallDelta) else event.text
    logprobs = event.logprobs if isinstance(event, TextDelta) else b""
    return len(logprobs) + utf8_size(text)


def _timing(meta: ResponseMeta, first_event_s: float) -> ResponseTiming:
    total_s = time() - meta.created_s
    first_s = max(0.0, first_event_s - meta.created_s)
    if total_s - first_s < AT_ONCE_S:
        first_s = 0.0
    return ResponseTiming(total_s, first_s)
