"""`tokenfall serve`: runs a server until a signal says to stop. It owns the signals and the standard streams."""

import sys

from tokenfall import logs
from tokenfall.bootstrap import Server
from tokenfall.cli.greeting import say_cannot_listen, say_where
from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.poller import make_poller
from tokenfall.reactor.signals import ENDED_BY_SIGNAL, SIGINT, SIGTERM, exit_on, stop_signals, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.cli.supervisor import Worker
    from tokenfall.settings import Settings

FAILURE = 1
ENDED_BY_SECOND_SIGNAL = ENDED_BY_SIGNAL + SIGINT

_log = logs.get("tokenfall")


def serve(settings: "Settings", worker: "Worker | None" = None) -> int:
    """Serve until a signal to stop, then drain; a second signal ends at once. The exit status.

    As a `worker` it greets nobody, and drains on SIGTERM, however many come, and when its supervisor is gone.
    """
    as_json = logs.set_up(settings.log_level, settings.log_format)
    access = sys.stderr.write if _log.is_enabled_for("info") else None
    reactor = Reactor(make_poller(settings.poller))
    try:
        server = Server(settings, access, reactor=reactor, json_logs=as_json, worker=worker)
        try:
            return _run(server, settings, worker=worker)
        finally:
            server.edge.close()
            server.flush()
    finally:
        reactor.close()


def _run(server: Server, settings: "Settings", *, worker: "Worker | None") -> int:
    """Serve until the end; the exit status."""
    try:
        addresses = server.start()
    except OSError as error:
        say_cannot_listen(settings.host, settings.port, error=error)
        return FAILURE
    stopper = Stopper(server, settings)
    if worker is None:
        stopper.obey_signals()
        say_where(addresses[0], settings)
    else:
        stopper.obey_supervisor(worker)
        worker.is_ready()
    server.reactor.run()
    if worker is None:
        for number in stop_signals():
            exit_on(number, ENDED_BY_SECOND_SIGNAL)
    return stopper.status


class Stopper:
    """Drains the server once it is to stop."""

    def __init__(self, server: Server, settings: "Settings") -> None:
        self.status = 0
        """The exit status so far."""
        self._server = server
        self._settings = settings
        self._stopping = False

    def obey_signals(self) -> None:
        """Stop on a signal; end at once on a second one."""
        self._watch(stop_signals())

    def obey_supervisor(self, worker: "Worker") -> None:
        """Stop on SIGTERM and at the end of the lifeline, which comes when the supervisor is gone.

        A second SIGTERM changes nothing: a signal to the whole group, as systemd sends it, and the supervisor, which
        passes it on, mean the same stop. To end at once is the supervisor's to decide.
        """
        self._watch((SIGTERM,), once=True)
        self._server.reactor.add(worker.lifeline, _Lifeline(self, worker.lifeline))

    def stop(self) -> None:
        """Drain, then end the run."""
        if self._stopping:
            return
        self._stopping = True
        _log.info("draining for up to %g s", self._settings.drain_timeout)
        self._server.stop_then(self._stopped)

    def lifeline_ended(self, fd: int) -> None:
        """The supervisor is gone."""
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
            watch(number)


class _Lifeline:
    """A pipe that ends with the supervisor."""

    def __init__(self, stopper: Stopper, fd: int) -> None:
        self._stopper = stopper
        self._fd = fd

    def ready(self, mask: int) -> None:
        """An end stays readable: it is watched for once."""
        self._stopper.lifeline_ended(self._fd)
