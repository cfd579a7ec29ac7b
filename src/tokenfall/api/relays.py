"""How provider requests reach the upstream: as they are where it speaks the same dialect, else translated."""

from __future__ import annotations

from time import time
from typing import Protocol

import msgspec
from msgspec import Struct

from tokenfall.api.documents import joined
from tokenfall.events import Finished, OutputEvent, PassthroughEvent
from tokenfall.http.request import Request
from tokenfall.messages import ChatRequest
from tokenfall.slicing import run_sliced
from tokenfall.upstream.engine import PassthroughRequest, UpstreamEngine
from tokenfall.wire import sse
from tokenfall.wire.composer import Composer
from tokenfall.wire.dialect import Dialect, ModelResponse, ParsedRequest, ResponseMeta, ResponseTiming, decoded
from tokenfall.wire.event_encoder import Accumulator, EventEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tokenfall.http.response import Send


class _Peeked(Struct):
    """What must be known of a request that is passed on: the rest is for the upstream to judge."""

    model: str
    stream: bool | None = None


_peek = msgspec.json.Decoder(_Peeked)
AT_ONCE_S = 0.001
"""An answer that took less from its first token on came at once: when its first token was made is not known."""

_RESPONSE_ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


class ChatUpstream(Protocol):
    """The part of `UpstreamEngine` that a translated chat needs."""

    async def converse(self, request: ChatRequest, on_event: Any) -> Finished:  # noqa: ANN401 - a callback for each `OutputEvent`
        """See `UpstreamEngine.converse`."""
        ...


class StreamFraming(Protocol):
    """How a stream that is passed on is framed, and which event besides `[DONE]` is its end."""

    def ends(self, event_type: str) -> bool:
        """Whether an event of this type is the genuine end."""
        ...

    def frame(self, event: PassthroughEvent) -> bytes:
        """The event as it goes to the client."""
        ...


class DoneFraming:
    """Chat and legacy completions: data lines alone, `[DONE]` at the end."""

    def ends(self, event_type: str) -> bool:
        return False

    def frame(self, event: PassthroughEvent) -> bytes:
        return sse.frame(event.data)


class ResponsesFraming:
    """Responses: events are named by their type, and one of four types is the last."""

    def ends(self, event_type: str) -> bool:
        return event_type in _RESPONSE_ENDS

    def frame(self, event: PassthroughEvent) -> bytes:
        return sse.frame(event.data, event.type if event.type.isprintable() else "")


class PassthroughStream:
    """One stream that is passed on. Implements `Run`."""

    __slots__ = ("_form", "_passing", "_upstream", "frames")

    def __init__(self, upstream: UpstreamEngine, passthrough: PassthroughRequest, *, form: StreamFraming) -> None:
        self._upstream = upstream
        self._passing = passthrough
        self._form = form
        self.frames = 0

    async def __call__(self, send: Send) -> bytes:
        form = self._form

        def on_event(event: PassthroughEvent) -> Any:  # noqa: ANN401 - as `Send`
            self.frames = event.number + 1
            return send(form.frame(event), is_token=event.is_token)

        asking = self._upstream.pass_on(self._passing, on_event, ends=form.ends)
        del self._passing  # the upstream lets go of the request's body when it is no longer needed
        await asking
        return b""


class PassthroughRelay:
    """For the dialect that the upstream speaks itself: `path` is below its base address."""

    def __init__(self, upstream: UpstreamEngine, path: str, *, form: StreamFraming) -> None:
        self._upstream = upstream
        self._path = path
        self._form = form

    def decode(self, body: bytes) -> ParsedRequest:
        """See `Relay`."""
        peeked = decoded(_peek, body)
        request = ChatRequest(messages=(), model=peeked.model, max_tokens=0)
        return ParsedRequest(request=request, stream=bool(peeked.stream))

    def stream(self, request: Request, asked: ParsedRequest, *, meta: ResponseMeta) -> PassthroughStream:
        """See `Relay`."""
        return PassthroughStream(self._upstream, PassthroughRequest(self._path, request.body), form=self._form)

    async def whole(self, request: Request, asked: ParsedRequest, *, meta: ResponseMeta) -> bytes:
        """See `Relay`."""
        return await self._upstream.fetch(PassthroughRequest(self._path, request.body))


class TranslatedStream:
    """One stream that is translated. Implements `Run`."""

    __slots__ = ("_asked", "_dialect", "_identity", "_upstream", "frames")

    def __init__(self, upstream: ChatUpstream, dialect: Dialect, *, asked: ParsedRequest, meta: ResponseMeta) -> None:
        self._upstream = upstream
        self._dialect = dialect
        self._asked = asked
        self._identity = meta
        self.frames = 0

    async def __call__(self, send: Send) -> bytes:
        meta, request = self._identity, self._asked.request
        encoder = EventEncoder(self._dialect.encoder(self._asked, meta))
        composer = Composer(request, meta.number)
        began_s = 0.0

        def on_event(event: OutputEvent) -> Any:  # noqa: ANN401 - as `Send`
            nonlocal began_s
            began_s = began_s or time()
            frames = b"".join(map(encoder.frames, composer.add(event)))
            return send(frames) if frames else None

        told, finished = composer.end(await self._upstream.converse(request, on_event))
        return b"".join(map(encoder.frames, told)) + encoder.end(finished, _timing(meta, began_s))


class TranslatedRelay:
    """For every other dialect: the upstream is asked for a chat completion, and its events are written in `dialect`."""

    def __init__(self, upstream: ChatUpstream, dialect: Dialect) -> None:
        self._upstream = upstream
        self._dialect = dialect

    def decode(self, body: bytes) -> ParsedRequest:
        """See `Relay`."""
        return self._dialect.for_upstream(self._dialect.decode(body))

    def stream(self, request: Request, asked: ParsedRequest, *, meta: ResponseMeta) -> TranslatedStream:
        """See `Relay`."""
        return TranslatedStream(self._upstream, self._dialect, asked=asked, meta=meta)

    async def whole(self, request: Request, asked: ParsedRequest, *, meta: ResponseMeta) -> bytes:
        """See `Relay`."""
        accumulator = Accumulator()
        composer = Composer(asked.request, meta.number)

        began_s = 0.0

        def on_event(event: OutputEvent) -> None:
            nonlocal began_s
            began_s = began_s or time()
            for each in composer.add(event):
                accumulator.on_event(each)

        told, finished = composer.end(await self._upstream.converse(asked.request, on_event))
        for each in told:
            accumulator.on_event(each)
        choices = (accumulator.choice(finished),)
        answer = ModelResponse(meta=meta, choices=choices, finished=finished, timing=_timing(meta, began_s))
        return await run_sliced(joined(self._dialect.encode_response(asked, answer)))


def _timing(meta: ResponseMeta, began_s: float) -> ResponseTiming:
    total_s = time() - meta.created_s
    first_s = max(0.0, began_s - meta.created_s)
    if total_s - first_s < AT_ONCE_S:
        first_s = 0.0
    return ResponseTiming(total_s, first_s)
