"""Which models there are: the simulator, and those of the upstream where one is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tokenfall.errors import UpstreamMalformed
from tokenfall.simulator.engine import MODEL, is_simulated

if TYPE_CHECKING:
    from asyncio import Lock
    from collections.abc import Awaitable, Callable

KEPT_S = 60.0
"""How long the upstream's list is believed."""


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


_decode = msgspec.json.Decoder(_Models).decode


class Catalogue:
    """`fetch` gives the upstream's own answer to `GET /models`, None where there is no upstream."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]] | None, now: Callable[[], float]) -> None:
        self._fetch = fetch
        self._now = now
        self._lock: Lock | None = None
        self._fetched: list[str] = []
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
        if self._lock is None:
            from asyncio import Lock  # noqa: PLC0415 - a server without an upstream holds no asyncio

            self._lock = Lock()
        async with self._lock:  # of many who ask at once, one asks the upstream
            if self._now() >= self._until_s:
                self._fetched = _names(await self._fetch())
                self._until_s = self._now() + KEPT_S
        return self._fetched


def _names(body: bytes) -> list[str]:
    try:
        return [model.id for model in _decode(body).data if model.id != MODEL]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamMalformed("the upstream's list of models is not one") from None
