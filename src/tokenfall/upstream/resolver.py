"""Host name resolution: looked up in a thread and cached for a short time. Used by the dialer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""An element of the result of `socket.getaddrinfo`."""

CACHE_S = 30.0


class CachingResolver:
    """A caching resolver for a small number of names."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._cache: dict[tuple[str, int], tuple[float, list[AddressInfo]]] = {}
        self._pending: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}

    async def look_up(self, host: str, port: int) -> list[AddressInfo]:
        """At least one address, in the system's order of preference. Raises socket.gaierror."""
        literal = _literal(host, port)
        if literal:
            return literal
        key = (host, port)
        until_s, found = self._cache.get(key, (0.0, []))
        if self._now() < until_s:
            return found
        task = self._pending.get(key)
        if task is None:
            task = self._pending[key] = asyncio.ensure_future(self._resolve(key))
            task.add_done_callback(lambda task: self._resolved(key, task))
        return await asyncio.shield(task)  # other callers may wait for the same task

    def forget(self, host: str, port: int) -> None:
        """Remove a name from the cache, because none of its addresses could be reached."""
        self._cache.pop((host, port), None)

    def _resolved(self, key: tuple[str, int], task: asyncio.Task[list[AddressInfo]]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it if all callers were cancelled

    async def _resolve(self, key: tuple[str, int]) -> list[AddressInfo]:
        found = await asyncio.get_running_loop().getaddrinfo(*key, type=socket.SOCK_STREAM)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        self._cache[key] = (self._now() + CACHE_S, list(found))
        return list(found)


def _literal(host: str, port: int) -> list[AddressInfo]:
    """The parsed address if `host` is an IP address, an empty list if it is a name."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:
        return []
