"""A provider's chat route in one dialect: the response is simulated here or relayed to the upstream.

Uses dialects only through the interface `tokenfall.wire.dialect.Dialect`; must not know any of them by name.
"""

from __future__ import annotations

from os import urandom
from time import time
from typing import Protocol

from msgspec.structs import replace

from tokenfall import logs
from tokenfall.api import problems
from tokenfall.api.documents import add_request_id_header, document, refusal
from tokenfall.api.guard import Callers
from tokenfall.api.simulated_provider import SimulatedProvider
from tokenfall.api.throttle import Throttle
from tokenfall.disconnect import Disconnect
from tokenfall.errors import TokenfallError
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

    from tokenfall.api.routing import Handler, Refuse
    from tokenfall.http.response import AnyResponse, Send
    from tokenfall.memory.leases import ResponseMemory


_log = logs.get(__name__)


class Run(Protocol):
    """Sends the frames of one response, except the last, which it returns. `frames`: number of numbered frames sent."""

    frames: int

    def __call__(self, send: Send) -> Coroutine[Any, Any, bytes]: ...


class Relay(Protocol):
    """Sends requests in one dialect to the upstream. Raises `UpstreamError` for its failures."""

    def decode(self, body: bytes) -> ParsedRequest:
        """The parts of a request that the relay itself needs. Raises `InvalidRequest`."""
        ...

    def stream(self, request: Request, parsed: ParsedRequest, *, meta: ResponseMeta) -> Run:
        """The `Run` that sends the response."""
        ...

    async def complete_response(
        self, request: Request, parsed: ParsedRequest, *, meta: ResponseMeta
    ) -> Response | LiveStream:
        """The complete response."""
        ...


class Provider:
    """The handler of one route. `relay` is None without an upstream; `throttle` limits the rate of relayed requests."""

    def __init__(
        self,
        dialect: Dialect,
        simulating: SimulatedProvider,
        *,
        relay: Relay | None,
        throttle: Throttle | None,
        callers: Callers,
        memory: ResponseMemory,
    ) -> None:
        self._dialect = dialect
        self._simulating = simulating
        self._relay = relay
        self._throttle = throttle
        self._callers = callers
        self._memory = memory
        self._head = StreamHead(dialect.stream_type)

    def __call__(
        self, request: Request
    ) -> Response | TimedStream | Loadable | Coroutine[Any, Any, Response | TimedStream | LiveStream | Disconnect]:
        """The handler. Raises `InvalidRequest`."""
        add_request_id_header(request)
        relay = self._relay
        parsed = self._dialect.decode(request.body) if relay is None else relay.decode(request.body)
        immediate_response = self._dialect.immediate_response(parsed, ResponseMeta("", time(), parsed.request.model))
        if immediate_response is not None:
            parse(request.header(b"x-sim") or "")
            return document(immediate_response)
        if relay is None:
            return self._simulating.respond(request, parsed)
        if is_simulated(parsed.request.model):
            return self._simulating.respond(request, self._dialect.decode(request.body))
        return self._relayed(request, parsed, relay=relay)

    def refuse(self, request: Request, api_error: ApiError) -> Response:
        """An error response in the dialect's format."""
        return refusal(request, api_error, error=self._dialect.error)

    # Relayed

    async def _relayed(self, request: Request, parsed: ParsedRequest, *, relay: Relay) -> Response | LiveStream:
        if self._throttle is not None:
            await self._throttle.spend(request, self._dialect.limits)
        parsed = replace(parsed, request=replace(parsed.request, caller=self._callers.of(request)))
        tokens = estimated_tokens(parsed.request)
        meta = ResponseMeta(urandom(12).hex(), time(), parsed.request.model, tokens)
        if not parsed.stream:
            return await relay.complete_response(request, parsed, meta=meta)
        run = relay.stream(request, parsed, meta=meta)
        stream = LiveStream(
            self._head,
            run,
            failure=lambda error: self._failure(error, frames=run.frames),
            keepalive=self._dialect.keepalive,
        )
        stream.memory, stream.caller = self._memory, parsed.request.caller.name
        return stream

    def _failure(self, error: Exception, *, frames: int) -> bytes:
        """The last frame of a failed stream. Unknown errors are logged, never sent."""
        if not isinstance(error, TokenfallError):
            _log.error("a relayed stream failed", exc_info=error)
        return self._dialect.error_frame(problems.of_error(_NO_REQUEST, error), frames)


class FunctionHandler:
    """The handler of another route of a provider, made from two functions."""

    def __init__(self, handle: Handler, refuse: Refuse) -> None:
        self._handle = handle
        self.refuse = refuse

    def __call__(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
        add_request_id_header(request)
        return self._handle(request)


_NO_REQUEST = Request("-", b"-", headers={}, http_minor=1)
