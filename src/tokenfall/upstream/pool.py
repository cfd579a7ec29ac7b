"""The pool of idle connections of one address. Used by the client."""

from __future__ import annotations

from collections.abc import Callable

from tokenfall.errors import shutting_down
from tokenfall.upstream.connection import Owner, UpstreamConnection

MAX_IDLE = 512
"""Maximum number of idle connections; further ones are closed."""
IDLE_S = 30.0
"""How long a connection stays idle. Shorter than the idle timeout of most servers, 60 s or more, to avoid races."""


class Pool(Owner):
    """The idle connections, reused in LIFO order, so that surplus ones reach their idle timeout."""

    def __init__(
        self, now: Callable[[], float], *, on_response: Callable[[UpstreamConnection], None] = lambda _: None
    ) -> None:
        self._now = now
        self._on_response = on_response
        self._idle: dict[UpstreamConnection, None] = {}
        self._open: set[UpstreamConnection] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> UpstreamConnection | None:
        """An idle connection, which the server may have closed meanwhile; None if there is none."""
        return self._idle.popitem()[0] if self._idle else None

    def add(self, connection: UpstreamConnection) -> None:
        """Register a new connection."""
        self._open.add(connection)

    def close(self) -> None:
        """Close all connections, and every later one when it becomes idle. Requests in progress fail."""
        self._closed = True
        for connection in tuple(self._open):
            connection.fail(shutting_down())

    def connection_idle(self, connection: UpstreamConnection) -> None:
        if self._closed or len(self._idle) >= MAX_IDLE:
            connection.abandon()
            return
        connection.was_idle = True
        connection.set_deadline(self._now() + IDLE_S)
        self._idle[connection] = None

    def connection_responded(self, connection: UpstreamConnection) -> None:
        self._on_response(connection)

    def connection_closed(self, connection: UpstreamConnection) -> None:
        self._idle.pop(connection, None)
        self._open.discard(connection)
