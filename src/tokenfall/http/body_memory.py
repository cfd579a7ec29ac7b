"""Limits the memory of the request bodies that are received or decoded, for all connections together. Pure.

Without it, each connection could hold a body of the maximum size until its deadline, or until its response is planned.
"""

from tokenfall.http.request import Refusal, Request
from tokenfall.memory.shares import MemoryShares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ALWAYS_ALLOWED_BYTES = 16_384
"""Bodies up to this size are never refused, so that clients with large bodies do not block the others."""

COPIES = 2
"""A request that is being handled holds its body, and the texts that are decoded from it."""


class BodyMemory:
    """Counts the bodies in `shares`. Small ones are never refused."""

    def __init__(self, shares: MemoryShares) -> None:
        self._shares = shares
        self._bodies: dict[object, tuple[str, int]] = {}

    @property
    def held_bytes(self) -> int:
        """Counted size of all bodies."""
        return sum(size_bytes for _, size_bytes in self._bodies.values())

    def resize(self, connection: object, size_bytes: int, *, caller: "Callable[[], str]") -> None:
        """Record the received size of the body of `connection`. Raises `Refusal` above the limit.

        `caller` returns the name of the sender; it is called once for each body.
        """
        name, before = self._bodies.get(connection) or (caller(), 0)
        always = size_bytes <= ALWAYS_ALLOWED_BYTES
        refused = self._shares.resize(name, before=before, after=size_bytes, always=always)
        if refused:
            raise Refusal(503, f"the server's memory for requests {refused}")
        self._bodies[connection] = name, size_bytes

    def keep(self, connection: object, request: Request) -> None:
        """Count the complete body of `connection` with its copy, until `request` drops it. Raises `Refusal`."""
        if len(request.body) > ALWAYS_ALLOWED_BYTES:
            self.resize(connection, COPIES * len(request.body), caller=lambda: request.client)
            request.on_drop = lambda: self.release(connection)
        else:
            self.release(connection)

    def release(self, connection: object) -> None:
        """Release the body of `connection`: it is dropped or refused, or the connection is closed."""
        name, size_bytes = self._bodies.pop(connection, ("", 0))
        self._shares.resize(name, before=size_bytes, after=0)
