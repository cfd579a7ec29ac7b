"""How provider requests reach the upstream: as they are where it speaks the same dialect, else translated."""

from __future__ import annotations

from time import time
from typing import Protocol

import msgspec
from msgspec import Struct

from tokenfall.api.documents import joined
from tokenfall.events import Passed, Said
from tokenfall.http.request import Request
from tokenfall.messages import ChatRequest
from tokenfall.slicing import run_sliced
from tokenfall.upstream.engine import Passing, UpstreamEngine
from tokenfall.upstream.rewording import Upstream
from tokenfall.wire import sse
from tokenfall.wire.composer import Composer
from tokenfall.wire.dialect import Answer, Asked, Dialect, Identity, Timing, decoded
from tokenfall.wire.event_encoder import Listener, Speaker

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


class PassingRun:
    """One stream that is passed on. Implements `Run`."""

    __slots__ = ("_form", "_passing", "_upstream", "frames")

    def __init__(self, upstream: UpstreamEngine, passing: Passing, *, form: Form) -> None:
        self._upstream = upstream
        self._passing = passing
        self._form = form
        self.frames = 0

    async def __call__(self, send: Send) -> bytes:
        form = self._form

        def hear(passed: Passed) -> Any:  # noqa: ANN401 - as `Send`
            self.frames = passed.number + 1
            return send(form.frame(passed), is_token=passed.is_token)

        asking = self._upstream.pass_on(self._passing, hear, ends=form.ends)
        del self._passing  # the upstream lets go of the request's body when it is no longer needed
        await asking
        return b""


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

    def stream(self, request: Request, asked: Asked, *, identity: Identity) -> PassingRun:
        """See `Relay`."""
        return PassingRun(self._upstream, Passing(self._path, request.body), form=self._form)

    async def whole(self, request: Request, asked: Asked, *, identity: Identity) -> bytes:
        """See `Relay`."""
        return await self._upstream.fetch(Passing(self._path, request.body))


class TranslatingRun:
    """One stream that is translated. Implements `Run`."""

    __slots__ = ("_asked", "_dialect", "_identity", "_upstream", "frames")

    def __init__(self, upstream: Upstream, dialect: Dialect, *, asked: Asked, identity: Identity) -> None:
        self._upstream = upstream
        self._dialect = dialect
        self._asked = asked
        self._identity = identity
        self.frames = 0

    async def __call__(self, send: Send) -> bytes:
        identity, request = self._identity, self._asked.request
        speaker = Speaker(self._dialect.encoder(self._asked, identity))
        composer = Composer(request, identity.number)
        began_s = 0.0

        def hear(said: Said) -> Any:  # noqa: ANN401 - as `Send`
            nonlocal began_s
            began_s = began_s or time()
            frames = b"".join(map(speaker.frames, composer.add(said)))
            return send(frames) if frames else None

        told, finished = composer.end(await self._upstream.converse(request, hear))
        return b"".join(map(speaker.frames, told)) + speaker.end(finished, _timing(identity, began_s))


class TranslatingRelay:
    """For every other dialect: the upstream is asked for a chat completion, and its events are written in `dialect`."""

    def __init__(self, upstream: Upstream, dialect: Dialect) -> None:
        self._upstream = upstream
        self._dialect = dialect

    def decode(self, body: bytes) -> Asked:
        """See `Relay`."""
        return self._dialect.relayed(self._dialect.decode(body))

    def stream(self, request: Request, asked: Asked, *, identity: Identity) -> TranslatingRun:
        """See `Relay`."""
        return TranslatingRun(self._upstream, self._dialect, asked=asked, identity=identity)

    async def whole(self, request: Request, asked: Asked, *, identity: Identity) -> bytes:
        """See `Relay`."""
        listener = Listener()
        composer = Composer(asked.request, identity.number)

        began_s = 0.0

        def hear(said: Said) -> None:
            nonlocal began_s
            began_s = began_s or time()
            for each in composer.add(said):
                listener.hear(each)

        told, finished = composer.end(await self._upstream.converse(asked.request, hear))
        for each in told:
            listener.hear(each)
        choices = (listener.choice(finished),)
        answer = Answer(identity=identity, choices=choices, finished=finished, timing=_timing(identity, began_s))
        return await run_sliced(joined(self._dialect.whole(asked, answer)))


def _timing(identity: Identity, began_s: float) -> Timing:
    total_s = time() - identity.created_s
    first_s = max(0.0, began_s - identity.created_s)
    if total_s - first_s < AT_ONCE_S:
        first_s = 0.0
    return Timing(total_s, first_s)
