"""Which models there are: the simulator, and those of the upstream where one is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tokenfall.errors import UpstreamMalformed, UpstreamTotalTimeout
from tokenfall.simulator.engine import MODEL, is_simulated

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable

KEPT_S = 60.0
"""How long the upstream's list is believed."""

WAIT_S = 5.0
"""How long anybody waits for it: less than a client of a list has patience."""


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


_decode = msgspec.json.Decoder(_Models).decode


class Catalogue:
    """`fetch` gives the upstream's own answer to `GET /models`, None where there is no upstream.

    One request to the upstream serves all who ask meanwhile. Where a list is known, even an old one, only the one who
    asked first waits for it; nobody waits longer than `within_s`.
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
        """All models, ours first. Raises an `UpstreamError`."""
        return [MODEL, *await self._upstreams()]

    async def has(self, name: str) -> bool:
        """Whether there is such a model. Without an upstream the simulator answers to every name.

        Raises an `UpstreamError`.
        """
        return self._fetch is None or is_simulated(name) or name in await self._upstreams()

    async def _upstreams(self) -> list[str]:
        if self._fetch is None:
            return []
        if self._fetched is not None and (self._fetching is not None or self._now() < self._until_s):
            return self._fetched
        return await self._asked(self._fetch)

    async def _asked(self, fetch: Callable[[], Awaitable[bytes]]) -> list[str]:
        """What the upstream says, to all who wait for it; it is given up when nobody does any more."""
        import asyncio  # noqa: PLC0415 - a server without an upstream holds no asyncio

        if self._fetching is None:
            self._fetching = asyncio.ensure_future(self._ask(fetch))
        fetching = self._fetching
        self._waiting += 1
        try:
            async with asyncio.timeout(self._within_s):
                return await asyncio.shield(fetching)
        except TimeoutError:
            if self._fetched is None:
                raise UpstreamTotalTimeout("the upstream did not list its models in time") from None
            self._until_s = self._now() + KEPT_S
            return self._fetched
        finally:
            self._waiting -= 1
            if not self._waiting:
                fetching.cancel()
                if self._fetching is fetching:
                    self._fetching = None

    async def _ask(self, fetch: Callable[[], Awaitable[bytes]]) -> list[str]:
        self._fetched = _names(await fetch())
        self._until_s = self._now() + KEPT_S
        return self._fetched


def _names(body: bytes) -> list[str]:
    try:
        return [model.id for model in _decode(body).data if model.id != MODEL]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamMalformed("the upstream's list of models is not one") from None
