"""One provider's chat route in its dialect: simulated here, or relayed to the upstream.

It knows dialects by the shape that `tokenfall.wire.dialect` gives them, and none by name.
"""

from __future__ import annotations

from os import urandom
from time import time
from typing import Protocol

from tokenfall import logs
from tokenfall.api import problems
from tokenfall.api.documents import document, name_twice, refusal
from tokenfall.api.simulated_provider import SimulatedProvider
from tokenfall.api.throttle import Throttle
from tokenfall.disconnect import Disconnect
from tokenfall.errors import TokenfallError, shutting_down
from tokenfall.http.loadable import Loadable
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response, StreamHead, TimedStream
from tokenfall.simulator.engine import is_simulated
from tokenfall.simulator.estimate import estimated_tokens
from tokenfall.simulator.grammar import parse
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import Dialect, ParsedRequest, ResponseMeta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from tokenfall.http.response import Send


_log = logs.get(__name__)


class Run(Protocol):
    """Sends each frame of one answer and returns the last. `frames` says how many numbered ones were sent."""

    frames: int

    def __call__(self, send: Send) -> Coroutine[Any, Any, bytes]:
        """What it does."""
        ...


class Relay(Protocol):
    """How requests of one dialect reach the upstream. What it raises is an `UpstreamError`."""

    def decode(self, body: bytes) -> ParsedRequest:
        """As much of a request as the relay itself must know. Raises `InvalidRequest`."""
        ...

    def stream(self, request: Request, asked: ParsedRequest, *, meta: ResponseMeta) -> Run:
        """What sends the answer."""
        ...

    async def whole(self, request: Request, asked: ParsedRequest, *, meta: ResponseMeta) -> bytes:
        """The whole answer's body."""
        ...


class Provider:
    """The handler of one route. `relay` is None where no upstream is set; `throttle` limits what is relayed."""

    def __init__(
        self,
        dialect: Dialect,
        simulating: SimulatedProvider,
        *,
        relay: Relay | None,
        throttle: Throttle | None,
    ) -> None:
        self._dialect = dialect
        self._simulating = simulating
        self._relay = relay
        self._throttle = throttle
        self._head = StreamHead(dialect.stream_type)
        self._farewell = dialect.error_frame(
            ApiError(status=503, code=shutting_down().code, message=shutting_down().message), 0
        )

    def __call__(
        self, request: Request
    ) -> Response | TimedStream | Loadable | Coroutine[Any, Any, Response | TimedStream | LiveStream | Disconnect]:
        """The handler. Raises `InvalidRequest`."""
        name_twice(request)
        relay = self._relay
        asked = self._dialect.decode(request.body) if relay is None else relay.decode(request.body)
        immediate_response = self._dialect.immediate_response(asked, ResponseMeta("", time(), asked.request.model))
        if immediate_response is not None:
            parse(request.header(b"x-sim") or "")
            return document(immediate_response)
        if relay is None:
            return self._simulating.answer(request, asked)
        if is_simulated(asked.request.model):
            return self._simulating.answer(request, self._dialect.decode(request.body))
        return self._relayed(request, asked, relay=relay)

    def refuse(self, request: Request, api_error: ApiError) -> Response:
        """A fault in the dialect's own shape."""
        return refusal(request, api_error, error=self._dialect.error)

    # Relayed

    async def _relayed(self, request: Request, asked: ParsedRequest, *, relay: Relay) -> Response | LiveStream:
        if self._throttle is not None:
            await self._throttle.spend(request, self._dialect.limits)
        tokens = estimated_tokens(asked.request)
        meta = ResponseMeta(urandom(12).hex(), time(), asked.request.model, tokens)
        if not asked.stream:
            return document(await relay.whole(request, asked, meta=meta))
        run = relay.stream(request, asked, meta=meta)
        return LiveStream(
            self._head,
            run,
            failure=lambda error: self._failure(error, frames=run.frames),
            keepalive=self._dialect.keepalive,
            shutdown_frame=self._farewell,
        )

    def _failure(self, error: Exception, *, frames: int) -> bytes:
        """The last frame of a stream that broke. Unknown errors are logged, never shown."""
        if not isinstance(error, TokenfallError):
            _log.error("a relayed stream failed", exc_info=error)
        return self._dialect.error_frame(problems.of_error(_NOBODY, error), frames)


_NOBODY = Request("-", b"-", headers={}, http_minor=1)
