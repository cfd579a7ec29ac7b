"""Loads in a thread what answers need, and plays nothing meanwhile. It needs no asyncio, which is what it often loads.

| state of a `Loadable`   | on                     | then                                                      |
|-------------------------|------------------------|-----------------------------------------------------------|
| not loaded              | the first that needs it| waits for those before it, one thread at a time           |
| waiting, or in a thread | another that needs it  | the same load serves both                                 |
| waiting, or in a thread | a waiter leaves        | nothing: the load goes on, for the next request           |
| in a thread             | `load` returned        | `finish`, then all waiters, some in each turn of the loop |
| in a thread             | `load` raised          | all waiters are told, and it is not loaded again          |
"""

import sys
from _thread import start_new_thread

from tokenfall.http.application import CLIENT_CLOSED_REQUEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from tokenfall.http.connection import Connection
    from tokenfall.http.loadable import Loadable
    from tokenfall.http.request import Request
    from tokenfall.http.server import HTTPServer
    from tokenfall.reactor.loop import Reactor

    class Waiter(Protocol):
        """What waits for something to be loaded."""

        def loaded(self, error: Exception | None) -> None:
            """It is loaded, or could not be."""
            ...


SWITCH_S = 0.001
"""How long a loading thread may keep the interpreter from the loop; 5 ms is the interpreter's own."""

WAITERS_A_TURN = 32
"""How many waiting requests are answered before other connections get their say."""


class Loader:
    """One for each reactor, whose wake-ups must be enabled."""

    def __init__(self, reactor: "Reactor") -> None:
        self._reactor = reactor
        self._waiting: dict[Loadable, list[Waiter]] = {}  # in the order in which they are loaded
        self._is_loading = False
        self._switch_s: float | None = None  # the interval to go back to

    def wait_for(self, needed: "Loadable", waiter: "Waiter") -> None:
        """Call `waiter.loaded` in a later turn of the loop."""
        if needed.after is not None and not needed.after.is_loaded:
            self._waiting.setdefault(needed.after, [])
        self._waiting.setdefault(needed, []).append(waiter)
        if not self._is_loading:
            self._load_next()

    def leave(self, needed: "Loadable", waiter: "Waiter") -> None:
        """Wait no longer."""
        waiters = self._waiting.get(needed, [])
        if waiter in waiters:
            waiters.remove(waiter)

    def _load_next(self) -> None:
        needed = next(iter(self._waiting), None)
        self._is_loading = needed is not None
        self._hurry(self._is_loading)
        if needed is None:
            return
        try:
            start_new_thread(self._load, (needed,))
        except RuntimeError as error:  # no room for a thread; the name `error` does not outlive the clause
            failure = error
            self._reactor.call_soon(lambda: self._ended(needed, failure))

    def _hurry(self, is_loading: bool) -> None:
        """Let threads take turns more often while one loads."""
        if is_loading and self._switch_s is None and sys.getswitchinterval() > SWITCH_S:
            self._switch_s = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_S)
        elif not is_loading and self._switch_s is not None:
            sys.setswitchinterval(self._switch_s)
            self._switch_s = None

    def _load(self, needed: "Loadable") -> None:
        """In the thread."""
        failure: Exception | None = None
        try:
            needed.load()
        except Exception as error:  # noqa: BLE001 - each waiter says what becomes of it
            failure = error
        self._reactor.call_soon_threadsafe(lambda: self._ended(needed, failure))

    def _ended(self, needed: "Loadable", failure: Exception | None) -> None:
        if failure is None:
            try:
                needed.finish()
            except Exception as error:  # noqa: BLE001 - each waiter says what becomes of it
                failure = error
        self._tell(self._waiting.pop(needed), failure)
        self._load_next()

    def _tell(self, waiters: "list[Waiter]", failure: Exception | None) -> None:
        for waiter in waiters[:WAITERS_A_TURN]:
            waiter.loaded(failure)
        rest = waiters[WAITERS_A_TURN:]
        if rest:
            self._reactor.call_soon(lambda: self._tell(rest, failure))


class LoadingPlayer:
    """A `Player` of a request whose answer needs something that is not loaded yet.

    `go_on` plays the answer then; `withdraw` lets go of an answer that is not played.
    """

    __slots__ = (
        "_connection",
        "_go_on",
        "_needed",
        "_request",
        "_server",
        "_withdraw",
        "metrics",
        "sent_bytes",
        "status",
    )

    def __init__(
        self,
        connection: "Connection",
        server: "HTTPServer",
        *,
        request: "Request",
        needed: "Loadable",
        go_on: "Callable[[], None]",
        withdraw: "Callable[[], None] | None",
    ) -> None:
        self.status = CLIENT_CLOSED_REQUEST
        self.sent_bytes = 0
        self.metrics = server.metrics
        self._connection = connection
        self._server = server
        self._request = request
        self._needed = needed
        self._go_on = go_on
        self._withdraw = withdraw
        server.loader.wait_for(needed, self)

    def loaded(self, error: Exception | None) -> None:
        connection, request = self._connection, self._request
        if not connection.plays(self):  # its client left in the turn in which it was loaded
            return
        if error is None:
            connection.go_on(self._go_on)
            return
        self.stop()
        try:
            raise error
        except Exception as raised:  # noqa: BLE001 - the application says what becomes of it
            connection.play_awaited(request, self._server.application.crashed(request, raised))

    def half_closed(self) -> bool:
        return True

    def resume(self) -> None:
        """Nothing was written yet."""

    def stop(self) -> None:
        self._server.loader.leave(self._needed, self)
        withdraw, self._withdraw = self._withdraw, None
        if withdraw is not None:
            withdraw()

    def cut(self) -> None:
        self.stop()
        self._connection.play_awaited(self._request, self._server.application.cut(self._request))
