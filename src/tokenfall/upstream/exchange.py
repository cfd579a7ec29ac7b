"""One request and its response, as a connection reports it. No socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from tokenfall.errors import TokenfallError

if TYPE_CHECKING:
    from tokenfall.upstream.connection import UpstreamConnection

Headers = Sequence[tuple[str, str]]
"""Names in lower case, in the order in which they came."""


class StaleConnection(Exception):
    """A connection of the pool was closed before anything of the response came: the request may be sent again."""


class Exchange:
    """The base of what receives a response. The connection makes the calls, in the order in which they stand here.

    `end` is awaited by who sent the request; a subclass ends it by `finish` or `fail`. Once it has
    ended, the connection reports nothing more.
    """

    __slots__ = ("_done", "_room", "connection")

    def __init__(self) -> None:
        self.connection: UpstreamConnection | None = None
        """Set by the connection while it serves this exchange."""
        self._done: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    def head_received(self, status: int, headers: Headers) -> None:
        """The final head has come; 1xx heads are not reported."""
        raise NotImplementedError

    def body_received(self, data: bytes) -> None:
        """The next part of the body."""
        raise NotImplementedError

    def body_ended(self) -> None:
        """The body is complete, as its framing says."""
        raise NotImplementedError

    def broken(self, error: TokenfallError | StaleConnection) -> None:
        """There will be no more. The connection is closed."""
        self.fail(error)

    def begin(self) -> None:
        """The request is about to be sent, for the first time or again."""
        self._done = asyncio.get_running_loop().create_future()

    @property
    def end(self) -> asyncio.Future[None]:
        """Done at the end of what was begun; raises what it failed with."""
        assert self._done is not None  # noqa: S101 - `begin` came before
        return self._done

    def leave(self) -> None:
        """Nobody waits for the end any more: close the connection if it is still used."""
        self._done = None  # it may hold an error, whose frames hold this
        if self.connection is not None:
            self.connection.abandon()

    def finish(self) -> None:
        """All that is wanted has come; the rest of the body, if any, is read away."""
        connection = self.connection
        if connection is not None:
            connection.settle()
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    # Flow control

    def wait_for(self, room: Awaitable[None]) -> None:
        """Read nothing more until `room` is done: who receives the response has no room for more."""
        if self._room is not None:
            return
        if self.connection is not None:
            self.connection.pause_reading()
        self._room = asyncio.ensure_future(room)  # itself, if it is a future already
        self._room.add_done_callback(self._has_room)

    def resumed(self) -> None:
        """There is room again."""

    def stop(self) -> None:
        """Let go of what it waits for. To be called at the end, whatever the outcome."""
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
        elif self.connection is not None:  # else it has ended meanwhile
            self.resumed()
            self.connection.resume_reading()

    # Ends

    def fail(self, error: Exception) -> None:
        """End with an error; the connection is closed."""
        connection = self.connection
        if connection is not None:
            connection.abandon()
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
