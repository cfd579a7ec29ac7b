"""Loads each `Loadable` that a response needs in a thread. Called by `Connection`; uses no asyncio, which it may load.

| state of a `Loadable` | on               | then                                                                |
|-----------------------|------------------|---------------------------------------------------------------------|
| not loaded            | first waiter     | queued; one thread loads one `Loadable` at a time                   |
| queued or loading     | another waiter   | shares the same load                                                |
| queued or loading     | `cancel`         | the load continues, for the next request                            |
| loading               | `load` returned  | `finish`, then all waiters are called, a few per loop turn          |
| loading               | `load` raised    | all waiters are called with the error; the next request loads again |
"""

import sys
from _thread import start_new_thread

from tokenfall.http.application import CLIENT_CLOSED_REQUEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.http.connection import Connection
    from tokenfall.http.loadable import Loadable
    from tokenfall.http.request import Request
    from tokenfall.http.server import HTTPServer
    from tokenfall.reactor.loop import Reactor

    Waiter = Callable[[Exception | None], None]
    """Called after a load, with its error if it failed."""


SWITCH_S = 0.001
"""Interpreter switch interval while a thread loads, so that the loop runs more often; Python's default is 5 ms."""

WAITERS_PER_TURN = 32
"""Maximum number of waiters called in one turn of the loop, so that other connections are not delayed."""


class Loader:
    """One per reactor, whose wake-ups must be enabled."""

    def __init__(self, reactor: "Reactor") -> None:
        self._reactor = reactor
        self._waiting: dict[Loadable, list[Waiter]] = {}  # FIFO
        self._is_loading = False
        self._switch_s: float | None = None  # the interval to restore

    def wait_for(self, needed: "Loadable", waiter: "Waiter") -> None:
        """Call `waiter` in a later turn of the loop."""
        if needed.after is not None and not needed.after.is_loaded:
            self._waiting.setdefault(needed.after, [])
        self._waiting.setdefault(needed, []).append(waiter)
        if not self._is_loading:
            self._load_next()

    def cancel(self, needed: "Loadable", waiter: "Waiter") -> None:
        """Stop waiting."""
        waiters = self._waiting.get(needed, [])
        if waiter in waiters:
            waiters.remove(waiter)

    def _load_next(self) -> None:
        needed = next(iter(self._waiting), None)
        self._is_loading = needed is not None
        self._set_switch_interval(self._is_loading)
        if needed is None:
            return
        try:
            start_new_thread(self._load, (needed,))
        except RuntimeError as error:  # no thread could start; `error` is unbound after the clause
            failure = error
            self._reactor.call_soon(lambda: self._ended(needed, failure))

    def _set_switch_interval(self, is_loading: bool) -> None:
        if is_loading and self._switch_s is None and sys.getswitchinterval() > SWITCH_S:
            self._switch_s = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_S)
        elif not is_loading and self._switch_s is not None:
            sys.setswitchinterval(self._switch_s)
            self._switch_s = None

    def _load(self, needed: "Loadable") -> None:
        """Run in the thread."""
        failure: Exception | None = None
        try:
            needed.load()
        except Exception as error:  # noqa: BLE001 - passed to each waiter
            failure = error
        self._reactor.call_soon_threadsafe(lambda: self._ended(needed, failure))

    def _ended(self, needed: "Loadable", failure: Exception | None) -> None:
        if failure is None:
            try:
                needed.finish()
            except Exception as error:  # noqa: BLE001 - passed to each waiter
                failure = error
        self._notify(self._waiting.pop(needed), failure)
        self._load_next()

    def _notify(self, waiters: "list[Waiter]", failure: Exception | None) -> None:
        for waiter in waiters[:WAITERS_PER_TURN]:
            waiter(failure)
        remaining = waiters[WAITERS_PER_TURN:]
        if remaining:
            self._reactor.call_soon(lambda: self._notify(remaining, failure))


class LoadingPlayer:
    """A `Player` for a request whose response needs a `Loadable` that is not loaded yet.

    `then` sends the response after the load; `discard` releases a response that is not sent.
    """

    __slots__ = (
        "_connection",
        "_discard",
        "_needed",
        "_request",
        "_server",
        "_then",
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
        then: "Callable[[], None]",
        discard: "Callable[[], None] | None",
    ) -> None:
        self.status = CLIENT_CLOSED_REQUEST
        self.sent_bytes = 0
        self.metrics = server.metrics
        self._connection = connection
        self._server = server
        self._request = request
        self._needed = needed
        self._then = then
        self._discard = discard
        server.loader.wait_for(needed, self.loaded)

    def loaded(self, error: Exception | None) -> None:
        """Called by the loader."""
        connection, request = self._connection, self._request
        if not connection.is_current(self):  # the client disconnected in the same turn
            return
        if error is None:
            connection.replace_player(self._then)
            return
        self.stop()
        try:
            raise error
        except Exception as raised:  # noqa: BLE001 - the application makes the error response
            connection.play_awaited(request, self._server.application.crashed(request, raised))

    def half_closed(self) -> bool:
        return True

    def pause(self) -> None:
        """Nothing to do: nothing was written yet."""

    def resume(self) -> None:
        """Nothing to do: nothing was written yet."""

    def stop(self) -> None:
        self._server.loader.cancel(self._needed, self.loaded)
        discard, self._discard = self._discard, None
        if discard is not None:
            discard()

    def cut(self) -> None:
        self.stop()
        self._connection.play_awaited(self._request, self._server.application.cut(self._request))
