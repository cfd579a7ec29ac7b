"""`tokenfall serve`: runs a server until a stop signal. Owns the signal handlers and the standard streams."""

import sys

from tokenfall import logs
from tokenfall.bootstrap import Server
from tokenfall.cli.greeting import print_cannot_listen, print_greeting
from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.poller import make_poller
from tokenfall.reactor.signals import ENDED_BY_SIGNAL, SIGINT, SIGTERM, enable_wakeup, exit_on, stop_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.cli.worker import Worker
    from tokenfall.settings import Settings

FAILURE = 1
ENDED_BY_SECOND_SIGNAL = ENDED_BY_SIGNAL + SIGINT

_log = logs.get("tokenfall")


def serve(settings: "Settings", worker: "Worker | None" = None) -> int:
    """Serve until a stop signal, then drain; a second signal ends at once. Return the exit status.

    A `worker` prints no greeting. It drains on the first SIGTERM, ignores further ones, and drains when its supervisor
    has ended.
    """
    as_json = logs.set_up(settings.log_level, settings.log_format)
    access = sys.stderr.write if _log.is_enabled_for("info") else None
    reactor = Reactor(make_poller(settings.poller))
    try:
        server = Server(settings, access, reactor=reactor, json_logs=as_json, worker=worker)
        try:
            return _run(server, settings, worker=worker)
        finally:
            server.http.close()
            server.flush()
    finally:
        reactor.close()


def _run(server: Server, settings: "Settings", *, worker: "Worker | None") -> int:
    """Serve until the stop; return the exit status."""
    try:
        addresses = server.start()
    except OSError as error:
        print_cannot_listen(settings.host, settings.port, error=error)
        return FAILURE
    stopper = Stopper(server, settings)
    if worker is None:
        stopper.stop_on_signals()
        print_greeting(addresses[0], settings)
    else:
        stopper.stop_with_supervisor(worker)
        worker.report_ready()
    server.reactor.run()
    if worker is None:
        for number in stop_signals():
            exit_on(number, ENDED_BY_SECOND_SIGNAL)
    return stopper.status


class Stopper:
    """Drains the server on a stop signal."""

    def __init__(self, server: Server, settings: "Settings") -> None:
        self.status = 0
        """The exit status so far."""
        self._server = server
        self._settings = settings
        self._stopping = False

    def stop_on_signals(self) -> None:
        """Stop on a signal; end at once on a second one."""
        self._watch(stop_signals())

    def stop_with_supervisor(self, worker: "Worker") -> None:
        """Stop on SIGTERM and at the end of file of the lifeline, which the supervisor's exit causes.

        A second SIGTERM is ignored: if systemd signals the whole process group, the worker gets one from systemd and
        one from the supervisor. Only the supervisor ends workers at once.
        """
        self._watch((SIGTERM,), once=True)
        self._server.reactor.add(worker.lifeline, _Lifeline(self, worker.lifeline))

    def stop(self) -> None:
        """Drain, then end the reactor's run. Later calls are ignored."""
        if self._stopping:
            return
        self._stopping = True
        _log.info("draining for up to %g s", self._settings.drain_timeout)
        self._server.stop_then(self._stopped)

    def lifeline_ended(self, fd: int) -> None:
        """The supervisor has ended: stop."""
        self._server.reactor.remove(fd)
        self.stop()

    def _stopped(self) -> None:
        _log.info("stopped")
        self._server.reactor.stop()

    def _watch(self, numbers: tuple[int, ...], *, once: bool = False) -> None:
        def received(number: int) -> None:
            if number not in numbers:
                return
            if self._stopping and not once:
                self.status = ENDED_BY_SECOND_SIGNAL
                self._server.reactor.stop()
            self.stop()

        self._server.reactor.enable_wakeups(received)
        for number in numbers:
            enable_wakeup(number)


class _Lifeline:
    """Handler of the pipe that reaches its end of file when the supervisor ends."""

    urgent = False

    def __init__(self, stopper: Stopper, fd: int) -> None:
        self._stopper = stopper
        self._fd = fd

    def ready(self, mask: int) -> None:
        """An end of file stays readable, so the descriptor is removed at the first call."""
        self._stopper.lifeline_ended(self._fd)
