"""Remembers the rewrites that a model's upstream needs, so that later requests are accepted at once.

What one caller sends must not change the requests of others. So a rewrite is remembered only after the upstream has
accepted a request with it, and one that omits a caller's value applies only to requests with the same value.
"""

from collections.abc import Callable

import msgspec

from tokenfall.messages import ChatRequest
from tokenfall.wire.upstream.rewrites import REWRITES, omitted_value

MAX_KNOWN = 1_024
"""Maximum number of rewrites that are remembered; the oldest are dropped."""

KNOWN_S = 3_600.0
"""How long a rewrite is remembered: the upstream may accept the original request later."""


class KnownRewrites:
    """The rewrites for one upstream. `now` returns monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until_s: dict[tuple[str, str, object], float] = {}

    def applied(self, request: ChatRequest) -> ChatRequest:
        """The request with the rewrites that are known for its model."""
        if not self._until_s:
            return request
        now_s = self._now()
        known = frozenset(name for name in REWRITES if self._until_s.get(_key(name, request), 0.0) > now_s)
        return msgspec.structs.replace(request, rewrites=known) if known else request

    def remember(self, request: ChatRequest) -> None:
        """The upstream has accepted `request` with its rewrites."""
        for name in request.rewrites:
            self._until_s[_key(name, request)] = self._now() + KNOWN_S
            if len(self._until_s) > MAX_KNOWN:
                del self._until_s[next(iter(self._until_s))]


def _key(rewrite: str, request: ChatRequest) -> tuple[str, str, object]:
    return request.model, rewrite, omitted_value(rewrite, request)
