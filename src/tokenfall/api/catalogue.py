"""The available models: the simulator's, and those of the upstream if one is configured. Called by the model routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenfall.errors import UpstreamMalformed, UpstreamRefused, UpstreamTotalTimeout
from tokenfall.simulator.engine import MODEL, is_simulated

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable

CACHED_S = 60.0
"""How long the upstream's list is cached."""

WAIT_S = 5.0
"""Maximum wait for the upstream's list; shorter than the usual timeouts of clients."""


class Catalogue:
    """The list of models, with a cache.

    `fetch` returns the body of the upstream's `GET /models` response; it is None without an upstream.

    Concurrent callers share one upstream request. If a list is cached, even an expired one, only the first caller waits
    for the new list. No caller waits longer than `within_s`.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[bytes]] | None, now: Callable[[], float], *, within_s: float = WAIT_S
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._within_s = within_s
        self._fetching: Future[list[str]] | None = None
        self._waiting = 0
        self._fetched: list[str] | None = None
        self._until_s = float("-inf")

    async def names(self) -> list[str]:
        """All model names, the simulator's first. Raises an `UpstreamError`."""
        return [MODEL, *await self.upstream_names()]

    async def has(self, name: str) -> bool:
        """Whether the model exists. Without an upstream, the simulator accepts every name; so does an upstream that
        does not list its models.

        Raises an `UpstreamError`.
        """
        if self._fetch is None or is_simulated(name):
            return True
        try:
            return name in await self.upstream_names()
        except (UpstreamMalformed, UpstreamRefused):
            return True

    async def upstream_names(self) -> list[str]:
        """The names of the upstream's models. Raises an `UpstreamError`."""
        if self._fetch is None:
            return []
        if self._fetched is not None and (self._fetching is not None or self._now() < self._until_s):
            return self._fetched
        return await self._fetch_shared(self._fetch)

    async def _fetch_shared(self, fetch: Callable[[], Awaitable[bytes]]) -> list[str]:
        """The result of the one pending upstream request, which is cancelled when no caller waits for it."""
        import asyncio  # noqa: PLC0415 - a server without an upstream must not load asyncio

        if self._fetching is None:
            self._fetching = asyncio.ensure_future(self._refresh(fetch))
        fetching = self._fetching
        self._waiting += 1
        try:
            async with asyncio.timeout(self._within_s):
                return await asyncio.shield(fetching)
        except TimeoutError:
            if self._fetched is None:
                raise UpstreamTotalTimeout("the upstream did not list its models in time") from None
            self._until_s = self._now() + CACHED_S
            return self._fetched
        finally:
            self._waiting -= 1
            if not self._waiting:
                fetching.cancel()
                if self._fetching is fetching:
                    self._fetching = None

    async def _refresh(self, fetch: Callable[[], Awaitable[bytes]]) -> list[str]:
        from tokenfall.wire.upstream.model_list import model_names  # noqa: PLC0415 - only needed with an upstream

        self._fetched = [name for name in model_names(await fetch()) if name != MODEL]
        self._until_s = self._now() + CACHED_S
        return self._fetched
