"""A server in a thread of this process, on its own event loop.

It must not change the state of the process: signal handlers, logging, garbage collector, descriptor limit.
"""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from threading import Thread

from tokenfall.bootstrap import Server
from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.poller import make_poller
from tokenfall.settings import Settings
from tokenfall.testing.hosts import Address


class ThreadHost:
    """Listens after construction. Raises OSError if it cannot."""

    pid = None

    def __init__(self, settings: Settings, key: str | None) -> None:
        self._settings = settings
        self._listening: Future[int] = Future()
        self._failure: BaseException | None = None
        self.reactor = Reactor(make_poller(settings.poller))
        """The event loop of the thread."""
        self._stop: Callable[[], None] | None = None
        # A daemon thread, so that the interpreter can exit without `stop`.
        self._thread = Thread(target=self._run, name="tokenfall", daemon=True)
        self._thread.start()
        try:
            port = self._listening.result()
        except BaseException:
            self._thread.join()
            raise
        self.address = Address(settings.host, port, key)

    def exit_reason(self) -> str | None:
        """See `tokenfall.testing.hosts.Host`."""
        if self._thread.is_alive():
            return None
        return "it was stopped" if self._failure is None else f"its thread failed: {self._failure!r}"

    def stop(self) -> None:
        """See `tokenfall.testing.hosts.Host`."""
        if self._stop is not None:
            self._stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            with closing(self.reactor):
                server = Server(self._settings, None, reactor=self.reactor, json_logs=False, embedded=True)
                with closing(server.http):
                    self._run_server(server)
        except BaseException as error:  # noqa: BLE001 - reported to the constructor or by `exit_reason`
            self._failure = error
            if not self._listening.done():
                self._listening.set_exception(error)

    def _run_server(self, server: Server) -> None:
        reactor = self.reactor
        reactor.enable_wakeups()
        addresses = server.start()
        self._stop = lambda: reactor.call_soon_threadsafe(lambda: server.stop_then(reactor.stop))
        self._listening.set_result(addresses[0][1])
        try:
            reactor.run()
        finally:
            self._stop = None
