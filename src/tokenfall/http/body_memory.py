"""Limits the memory of the request bodies that are being received, for all connections together. Pure.

Without it, each connection could hold a body of the maximum size until its deadline.
"""

from tokenfall.http.request import Refusal

ALWAYS_ALLOWED_BYTES = 16_384
"""A body of which no more has arrived is never refused, so that large bodies of some clients do not block others."""


class BodyMemory:
    """At most `max_bytes`, apart from small bodies."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._sizes: dict[object, int] = {}
        self.held_bytes = 0

    def resize(self, connection: object, size_bytes: int) -> None:
        """So much of the body of `connection` has arrived. Raises `Refusal` if that is too much."""
        grown_bytes = size_bytes - self._sizes.get(connection, 0)
        if grown_bytes > 0 and size_bytes > ALWAYS_ALLOWED_BYTES and self.held_bytes + grown_bytes > self._max_bytes:
            raise Refusal(503, "the server is receiving too many large request bodies")
        self._sizes[connection] = size_bytes
        self.held_bytes += grown_bytes

    def release(self, connection: object) -> None:
        """Its body is complete or refused, or the connection is closed."""
        self.held_bytes -= self._sizes.pop(connection, 0)
