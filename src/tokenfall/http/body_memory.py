"""Limits the memory of the request bodies that are being received, for all connections together. Pure.

Without it, each connection could hold a body of the maximum size until its deadline.
"""

from tokenfall.http.request import Refusal
from tokenfall.memory.shares import MemoryShares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ALWAYS_ALLOWED_BYTES = 16_384
"""A body of which no more has arrived is never refused, so that large bodies of some clients do not block others."""


class BodyMemory:
    """Bodies within `shares`, apart from small ones."""

    def __init__(self, shares: MemoryShares) -> None:
        self._shares = shares
        self._bodies: dict[object, tuple[str, int]] = {}

    @property
    def held_bytes(self) -> int:
        """Size of all bodies that are being received."""
        return sum(size_bytes for _, size_bytes in self._bodies.values())

    def resize(self, connection: object, size_bytes: int, *, caller: "Callable[[], str]") -> None:
        """So much of the body of `connection` has arrived. Raises `Refusal` if that is too much.

        `caller` returns the name of the sender; it is called once for each body.
        """
        name, before = self._bodies.get(connection) or (caller(), 0)
        always = size_bytes <= ALWAYS_ALLOWED_BYTES
        refused = self._shares.resize(name, before=before, after=size_bytes, always=always)
        if refused:
            raise Refusal(503, f"the server's memory for requests {refused}")
        self._bodies[connection] = name, size_bytes

    def release(self, connection: object) -> None:
        """Its body is complete or refused, or the connection is closed."""
        name, size_bytes = self._bodies.pop(connection, ("", 0))
        self._shares.resize(name, before=size_bytes, after=0)
