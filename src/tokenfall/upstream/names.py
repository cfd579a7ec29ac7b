"""Names to addresses: looked up in a thread, and kept for a short time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""As `socket.getaddrinfo` gives it."""

KEPT_S = 30.0


class Names:
    """A resolver for few names."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: dict[tuple[str, int], tuple[float, list[AddressInfo]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}

    async def look_up(self, host: str, port: int) -> list[AddressInfo]:
        """At least one address, in the system's order of preference. Raises socket.gaierror."""
        literal = _literal(host, port)
        if literal:
            return literal
        key = (host, port)
        until_s, found = self._kept.get(key, (0.0, []))
        if self._now() < until_s:
            return found
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.ensure_future(self._ask(key))
            task.add_done_callback(lambda task: self._answered(key, task))
        return await asyncio.shield(task)  # others may wait for the same

    def forget(self, host: str, port: int) -> None:
        """None of its addresses could be reached."""
        self._kept.pop((host, port), None)

    def _answered(self, key: tuple[str, int], task: asyncio.Task[list[AddressInfo]]) -> None:
        del self._asked[key]
        if not task.cancelled():
            task.exception()  # who asked may have gone meanwhile: then nobody else looks at it

    async def _ask(self, key: tuple[str, int]) -> list[AddressInfo]:
        found = await asyncio.get_running_loop().getaddrinfo(*key, type=socket.SOCK_STREAM)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        self._kept[key] = (self._now() + KEPT_S, list(found))
        return list(found)


def _literal(host: str, port: int) -> list[AddressInfo]:
    """The address that `host` is already, nothing for a name."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:
        return []
