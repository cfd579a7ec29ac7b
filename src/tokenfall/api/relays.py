"""How provider requests reach the upstream: as they are where it speaks the same dialect, else translated."""

from __future__ import annotations

from time import time
from typing import Protocol

import msgspec
from msgspec import Struct

from tokenfall.api.documents import joined
from tokenfall.edge.request import Request
from tokenfall.engines.rewording import Upstream
from tokenfall.engines.upstream import Passing, UpstreamEngine
from tokenfall.events import Passed, Said
from tokenfall.messages import ChatRequest
from tokenfall.slices import run_sliced
from tokenfall.wire import sse
from tokenfall.wire.composing import Composer
from tokenfall.wire.dialect import Answer, Asked, Dialect, Identity, Timing, decoded
from tokenfall.wire.speaking import Listener, Speaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from tokenfall.edge.response import Send


class _Peeked(Struct):
    """What must be known of a request that is passed on: the rest is for the upstream to judge."""

    model: str
    stream: bool | None = None


_peek = msgspec.json.Decoder(_Peeked)
_RESPONSE_ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


class Form(Protocol):
    """How a stream that is passed on is framed, and which event besides `[DONE]` is its end."""

    def ends(self, event_type: str) -> bool:
        """Whether an event of this type is the genuine end."""
        ...

    def frame(self, passed: Passed) -> bytes:
        """The event as it goes to the client."""
        ...


class DoneForm:
    """Chat and legacy completions: data lines alone, `[DONE]` at the end."""

    def ends(self, event_type: str) -> bool:
        return False

    def frame(self, passed: Passed) -> bytes:
        return sse.frame(passed.data)


class ResponsesForm:
    """Responses: events are named by their type, and one of four types is the last."""

    def ends(self, event_type: str) -> bool:
        return event_type in _RESPONSE_ENDS

    def frame(self, passed: Passed) -> bytes:
        return sse.frame(passed.data, passed.type if passed.type.isprintable() else "")


class PassingRelay:
    """For the dialect that the upstream speaks itself: `path` is below its base address."""

    def __init__(self, upstream: UpstreamEngine, path: str, *, form: Form) -> None:
        self._upstream = upstream
        self._path = path
        self._form = form

    def decode(self, body: bytes) -> Asked:
        """See `Relay`."""
        peeked = decoded(_peek, body)
        request = ChatRequest(messages=(), model=peeked.model, max_tokens=0)
        return Asked(request=request, stream=bool(peeked.stream))

    def stream(
        self, request: Request, asked: Asked, *, identity: Identity
    ) -> Callable[[Send], Coroutine[Any, Any, bytes]]:
        """See `Relay`."""
        passing, form = Passing(self._path, request.body), self._form

        async def run(send: Send) -> bytes:
            def hear(passed: Passed) -> Any:  # noqa: ANN401 - as `Send`
                return send(form.frame(passed), is_token=passed.is_token)

            await self._upstream.pass_on(passing, hear, ends=form.ends)
            return b""

        return run

    async def whole(self, request: Request, asked: Asked, *, identity: Identity) -> bytes:
        """See `Relay`."""
        return await self._upstream.fetch(Passing(self._path, request.body))


class TranslatingRelay:
    """For every other dialect: the upstream is asked for a chat completion, and its events are written in `dialect`."""

    def __init__(self, upstream: Upstream, dialect: Dialect) -> None:
        self._upstream = upstream
        self._dialect = dialect

    def decode(self, body: bytes) -> Asked:
        """See `Relay`."""
        return self._dialect.decode(body)

    def stream(
        self, request: Request, asked: Asked, *, identity: Identity
    ) -> Callable[[Send], Coroutine[Any, Any, bytes]]:
        """See `Relay`."""
        speaker = Speaker(self._dialect.encoder(asked, identity))
        composer = Composer(asked.request, identity.number)

        async def run(send: Send) -> bytes:
            began_s = 0.0

            def hear(said: Any) -> Any:  # noqa: ANN401 - any of `Said`; as `Send`
                nonlocal began_s
                began_s = began_s or time()
                frames = b"".join(map(speaker.frames, composer.add(said)))
                return send(frames) if frames else None

            told, finished = composer.end(await self._upstream.converse(asked.request, hear))
            return b"".join(map(speaker.frames, told)) + speaker.end(finished, _timing(identity, began_s))

        return run

    async def whole(self, request: Request, asked: Asked, *, identity: Identity) -> bytes:
        """See `Relay`."""
        listener = Listener()
        composer = Composer(asked.request, identity.number)

        def hear(said: Said) -> None:
            for each in composer.add(said):
                listener.hear(each)

        told, finished = composer.end(await self._upstream.converse(asked.request, hear))
        for each in told:
            listener.hear(each)
        choices = (listener.choice(finished),)
        answer = Answer(identity=identity, choices=choices, finished=finished, timing=_timing(identity, 0.0))
        return await run_sliced(joined(self._dialect.whole(asked, answer)))


def _timing(identity: Identity, began_s: float) -> Timing:
    now_s = time()
    return Timing(now_s - identity.created_s, max(0.0, (began_s or now_s) - identity.created_s))
