"""Asks the upstream once more, in other words, where it refuses a member that Tokenfall chose itself."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from tokenfall.errors import UpstreamRefused
from tokenfall.events import Finished
from tokenfall.messages import ChatRequest
from tokenfall.ports import OnDelta
from tokenfall.wire.upstream.rewrites import refused_member

MOST_MODELS = 256
"""Models of which it is known what they refuse."""


class Upstream(Protocol):
    """What is asked."""

    async def reply(self, request: ChatRequest, on_event: OnDelta) -> Finished:
        """See `Engine`."""
        ...

    async def converse(self, request: ChatRequest, on_event: Any) -> Finished:  # noqa: ANN401 - `OnDelta` for all of `OutputEvent`
        """As `reply`, and tell each `ReasoningDelta` and `ToolCallDelta` too."""
        ...


class RewordingUpstream:
    """An `Upstream` that remembers what each model refuses. Nothing was told when a request is refused."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._refused: dict[str, frozenset[str]] = {}

    # These two give the coroutine of another: each stream under way would else hold one frame more.

    def reply(self, request: ChatRequest, on_event: OnDelta) -> Coroutine[Any, Any, Finished]:
        return self._ask(self._upstream.reply, request, on_event=on_event)

    def converse(self, request: ChatRequest, on_event: Any) -> Coroutine[Any, Any, Finished]:  # noqa: ANN401 - see `Upstream`
        return self._ask(self._upstream.converse, request, on_event=on_event)

    async def _ask(
        self,
        ask: Callable[[ChatRequest, Any], Coroutine[Any, Any, Finished]],
        request: ChatRequest,
        *,
        on_event: Any,  # noqa: ANN401 - see `Upstream`
    ) -> Finished:
        request = self._worded(request)
        try:
            return await ask(request, on_event)
        except UpstreamRefused as error:
            again = self._reworded(request, error)
            if again is None:
                raise
        return await ask(again, on_event)

    def _worded(self, request: ChatRequest) -> ChatRequest:
        refused = self._refused.get(request.model)
        return request if refused is None else msgspec.structs.replace(request, refused=refused)

    def _reworded(self, request: ChatRequest, error: UpstreamRefused) -> ChatRequest | None:
        """The request for the second try, None where there is no other wording."""
        member = refused_member(error, request)
        if member is None:
            return None
        refused = request.refused | {member}
        if len(self._refused) >= MOST_MODELS:
            self._refused.pop(next(iter(self._refused)))
        self._refused[request.model] = refused
        return msgspec.structs.replace(request, refused=refused)
