"""One request and its response: the interface between a connection and the receiver of a response. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from tokenfall.errors import TokenfallError

if TYPE_CHECKING:
    from tokenfall.upstream.connection import UpstreamConnection

Headers = Sequence[tuple[str, str]]
"""Names in lower case, in the order received."""


class StaleConnection(Exception):
    """A pooled connection closed before the first byte of the response, so the request may be sent again."""


class UpstreamExchange:
    """Base class of receivers of a response. The connection calls the first four methods, in this order.

    The sender of the request awaits `end`; a subclass completes it with `finish` or `fail`. After that the connection
    makes no further calls.
    """

    __slots__ = ("_done", "_room", "connection")

    def __init__(self) -> None:
        self.connection: UpstreamConnection | None = None
        """Set by the connection while it is used for this exchange."""
        self._done: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    def head_received(self, status: int, headers: Headers) -> None:
        """The final head; 1xx heads are not reported."""
        raise NotImplementedError

    def body_received(self, data: bytes) -> None:
        """The next part of the body."""
        raise NotImplementedError

    def body_ended(self) -> None:
        """The body is complete according to its framing."""
        raise NotImplementedError

    def broken(self, error: TokenfallError | StaleConnection) -> None:
        """The connection is closed before the end of the response."""
        self.fail(error)

    def begin(self) -> None:
        """The request is about to be sent, for the first time or again."""
        self._done = asyncio.get_running_loop().create_future()

    def responding(self) -> None:
        """The client no longer waits for a first event."""
        if self.connection is not None:
            self.connection.urgent = False

    @property
    def end(self) -> asyncio.Future[None]:
        """Done when the exchange has finished; raises the error that it failed with."""
        assert self._done is not None  # noqa: S101 - `begin` was called before
        return self._done

    def abandon(self) -> None:
        """Stop the exchange: close the connection if it is still used."""
        self._done = None  # it may hold an error whose traceback refers to this object
        if self.connection is not None:
            self.connection.abandon()

    def finish(self) -> None:
        """End successfully; the remaining body, if any, is discarded."""
        connection = self.connection
        if connection is not None:
            connection.discard_body()
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    # Flow control

    def wait_for(self, room: Awaitable[None]) -> None:
        """Pause reading until `room` is done, because the consumer of the response is slow."""
        if self._room is not None:
            return
        if self.connection is not None:
            self.connection.pause_reading()
        self._room = asyncio.ensure_future(room)  # the same object if it is a future
        self._room.add_done_callback(self._has_room)

    def resumed(self) -> None:
        """Called when reading resumes."""

    def stop(self) -> None:
        """Cancel the pending wait of `wait_for`. Must be called at the end, with any outcome."""
        room, self._room = self._room, None
        if room is not None:
            room.remove_done_callback(self._has_room)
            if isinstance(room, asyncio.Task):
                room.cancel()

    def _has_room(self, room: asyncio.Future[None]) -> None:
        self._room = None
        error = None if room.cancelled() else room.exception()
        if isinstance(error, Exception):
            self.fail(error)
        elif self.connection is not None:  # None if the exchange has ended meanwhile
            self.resumed()
            self.connection.resume_reading()

    # Failing

    def fail(self, error: Exception) -> None:
        """End with an error; the connection is closed."""
        connection = self.connection
        if connection is not None:
            connection.abandon()
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
