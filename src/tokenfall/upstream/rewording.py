"""Sends a request a second time without a field that the upstream refuses, if Tokenfall added that field itself."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from tokenfall.errors import UpstreamRefused
from tokenfall.events import Finished
from tokenfall.messages import ChatRequest
from tokenfall.ports import OnDelta
from tokenfall.wire.upstream.rewrites import refused_member

MOST_MODELS = 256
"""Maximum number of models whose refused fields are remembered."""


class Upstream(Protocol):
    """The engine that sends the requests."""

    async def reply(self, request: ChatRequest, on_event: OnDelta) -> Finished:
        """See `Engine`."""
        ...

    async def converse(self, request: ChatRequest, on_event: Any) -> Finished:  # noqa: ANN401 - `OnDelta` for all of `OutputEvent`
        """As `reply`, and report each `ReasoningDelta` and `ToolCallDelta` too."""
        ...


class RewordingUpstream:
    """An `Upstream` that remembers the fields that each model refuses. A refused request has reported no event."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._refused: dict[str, frozenset[str]] = {}

    # These two return the coroutine of another method instead of awaiting it, to save one frame per stream.

    def reply(self, request: ChatRequest, on_event: OnDelta) -> Coroutine[Any, Any, Finished]:
        return self._send(self._upstream.reply, request, on_event=on_event)

    def converse(self, request: ChatRequest, on_event: Any) -> Coroutine[Any, Any, Finished]:  # noqa: ANN401 - see `Upstream`
        return self._send(self._upstream.converse, request, on_event=on_event)

    async def _send(
        self,
        send: Callable[[ChatRequest, Any], Coroutine[Any, Any, Finished]],
        request: ChatRequest,
        *,
        on_event: Any,  # noqa: ANN401 - see `Upstream`
    ) -> Finished:
        request = self._without_refused(request)
        try:
            return await send(request, on_event)
        except UpstreamRefused as error:
            reworded = self._reworded(request, error)
            if reworded is None:
                raise
        return await send(reworded, on_event)

    def _without_refused(self, request: ChatRequest) -> ChatRequest:
        refused = self._refused.get(request.model)
        return request if refused is None else msgspec.structs.replace(request, refused=refused)

    def _reworded(self, request: ChatRequest, error: UpstreamRefused) -> ChatRequest | None:
        """The request for the second try, None if no field can be left out."""
        member = refused_member(error, request)
        if member is None:
            return None
        refused = request.refused | {member}
        if len(self._refused) >= MOST_MODELS:
            self._refused.pop(next(iter(self._refused)))
        self._refused[request.model] = refused
        return msgspec.structs.replace(request, refused=refused)
