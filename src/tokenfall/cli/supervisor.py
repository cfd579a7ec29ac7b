"""Keeps several worker processes serving one port. It serves nothing itself and must never load an event loop.

Signals reach it as bytes in a pipe, so that it waits in one place, `_wait`, and nothing it does is interrupted. They
are blocked from before a fork until the worker's own handlers are in place: none is lost, none kills too early.
"""

import os
import signal
import sys
from collections.abc import Callable
from math import inf
from select import select
from time import monotonic
from typing import NoReturn

from tokenfall import logs
from tokenfall.cli.backoff import Backoff
from tokenfall.cli.greeting import say_cannot_listen, say_where
from tokenfall.cli.port import hold
from tokenfall.limits.shared import SharedTable
from tokenfall.reactor.signals import stop_signals, watch
from tokenfall.settings import Settings
from tokenfall.shared_metrics import SharedMetrics

FAILURE = 1
FROM_THE_TERMINAL = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""What reaches the whole group of processes: the supervisor passes it on, and workers ignore their own."""
SIGNALS = (signal.SIGTERM, *FROM_THE_TERMINAL, signal.SIGCHLD)

CHECK_EVERY_S = 1.0
HANGS_AFTER_CHECKS = 10
"""A worker whose timer has not turned between so many checks in a row hangs, and is replaced. Counted in checks and
not in seconds, so that a supervisor that was stopped itself blames nobody."""

STOP_MARGIN_S = 5.0
"""What a worker gets beyond the drain time: to cut streams, save turns, close upstream connections and stores."""

_log = logs.get("tokenfall")


class Worker:
    """What a worker process has of its supervisor."""

    def __init__(self, board: SharedMetrics, table: SharedTable, *, lifeline: int, ready: int) -> None:
        self.board = board
        self.table = table
        """Where all workers keep their rate limits."""
        self.lifeline = lifeline
        """Becomes readable, with an end of file, when the supervisor is gone."""
        self._ready = ready

    def is_ready(self) -> None:
        """Tell the supervisor that the port is listened on, and take signals from now on: handlers must be set."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            os.write(self._ready, b".")
        except BrokenPipeError:
            pass  # it is gone, as the lifeline will say
        finally:
            os.close(self._ready)


Work = Callable[[Settings, Worker], int]
"""What a worker does until it is to stop; its exit status."""


def supervise(settings: Settings, work: Work) -> int:
    """Run `settings.workers` processes until a signal to stop, then drain them; a second one ends them at once.

    The exit status: 0 when all ended well, 1 when one did not or none could start.
    """
    logs.set_up(settings.log_level, settings.log_format)
    try:
        held = hold(settings.host, settings.port)
    except OSError as error:
        say_cannot_listen(settings.host, settings.port, error=error)
        return FAILURE
    try:
        address: tuple[str, int] = held[0].getsockname()[:2]
        settings = settings.replaced(port=address[1])
        supervisor = Supervisor(settings, work, greet=lambda: say_where(address, settings))
        return supervisor.run()
    finally:
        for each in held:
            each.close()


class _Place:
    """One worker after another under the same number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.ready_pipe: int | None = None
        """Where the worker says that it is ready; None when it did, or is dead."""
        self.is_ready = False
        self.failed = False
        """Whether a worker died here, ever."""
        self.started_s = 0.0
        self.due_s = 0.0
        """When to start the next worker, while there is none."""
        self.backoff = Backoff()
        self.beats = 0
        """How often the worker's timer had turned at the last check."""
        self.missed = 0
        """Checks in a row at which it had not turned."""


class Supervisor:
    """The processes of one port."""

    def __init__(self, settings: Settings, work: Work, *, greet: Callable[[], None]) -> None:
        self._settings = settings
        self._work = work
        self._greet = greet
        self._board = SharedMetrics(settings.workers)
        self._table = SharedTable()
        self._places = [_Place(number) for number in range(settings.workers)]
        self._stop_signals = stop_signals()
        self._was_ready = False
        """Whether any worker ever was."""
        self._greeted = False
        self._stopping = False
        self._check_s = monotonic() + CHECK_EVERY_S
        self._status = 0
        self._lifeline = self._wakeup = -1
        self._own: list[int] = []
        """Descriptors that no worker may keep; above all the lifeline's other end, which must end with this process."""

    def run(self) -> int:
        """Until a signal says to stop; the exit status. Raises OSError where there are no descriptors to begin with."""
        try:
            self._open()
            return self._supervise()
        finally:
            self._close()

    def _open(self) -> None:
        self._lifeline, life = os.pipe()
        self._own.append(life)
        self._wakeup, wakeup_in = os.pipe()
        self._own += (self._wakeup, wakeup_in)
        os.set_blocking(wakeup_in, False)
        os.set_blocking(self._wakeup, False)
        for number in (*self._stop_signals, signal.SIGCHLD):
            watch(number)
        signal.set_wakeup_fd(wakeup_in, warn_on_full_buffer=False)

    def _close(self) -> None:
        """Give back all descriptors. Workers that are still there see the end of their lifeline, and drain."""
        signal.set_wakeup_fd(-1)
        for fd in (self._lifeline, *self._own, *(place.ready_pipe for place in self._places)):
            if fd is not None and fd >= 0:
                os.close(fd)
        self._table.close()

    def _supervise(self) -> int:
        while True:
            now = monotonic()
            for place in self._places:
                if place.pid is None and place.due_s <= now:
                    self._start(place)
            if self._wait(min((self._check_s, *(place.due_s for place in self._places if place.pid is None)))):
                return self._stop()
            if monotonic() >= self._check_s:
                self._check_s = monotonic() + CHECK_EVERY_S
                self._kill_those_that_hang()
            if not self._was_ready and all(place.failed for place in self._places):
                print(f"tokenfall: WORKERS: none of {len(self._places)} could start", file=sys.stderr)
                return self._stop() or FAILURE
            if not self._greeted and all(place.is_ready for place in self._places):
                self._greeted = True
                self._greet()

    def _kill_those_that_hang(self) -> None:
        """A worker whose loop stands still answers nobody, and keeps the connections that the kernel gives it."""
        for place in self._places:
            if place.pid is None or not place.is_ready:
                continue
            beats, place.beats = place.beats, self._board.beats(place.number)
            place.missed = place.missed + 1 if beats == place.beats else 0
            if place.missed >= HANGS_AFTER_CHECKS:
                place.missed = 0
                seconds = HANGS_AFTER_CHECKS * CHECK_EVERY_S
                _log.error("worker %d (pid %d) has stood still for %g s: killed", place.number, place.pid, seconds)
                os.kill(place.pid, signal.SIGKILL)

    # Starting and ending

    def _start(self, place: _Place) -> None:
        place.started_s = monotonic()
        try:
            self._fork(place)
        except OSError as error:
            _log.warning("worker %d could not be started: %s", place.number, error)
            self._over(place)

    def _fork(self, place: _Place) -> None:
        place.ready_pipe, ready = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_worker(place.number, ready)
            place.pid = pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.close(ready)

    def _become_worker(self, number: int, ready: int) -> NoReturn:
        status = FAILURE
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for ignored in FROM_THE_TERMINAL:
                signal.signal(ignored, signal.SIG_IGN)
            for each in (*self._own, *(place.ready_pipe for place in self._places)):
                if each is not None:
                    os.close(each)
            self._board.number = number
            worker = Worker(self._board, self._table, lifeline=self._lifeline, ready=ready)
            status = self._work(self._settings, worker)
        except Exception:  # noqa: BLE001 - the last frame of a process, which has nobody to raise to
            _log.exception("worker %d failed", number)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # not up the supervisor's stack

    def _reap(self) -> None:
        for place in self._places:
            if place.pid is None:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                self._ended(place, code=os.waitstatus_to_exitcode(status))

    def _ended(self, place: _Place, *, code: int) -> None:
        pid, place.pid = place.pid, None
        self._hear(place)  # it may have been ready for a moment
        self._board.mark_dead(place.number)
        delay_s = self._over(place)
        if not self._stopping:
            again = f"another starts in {delay_s:g} s"
            _log.warning("worker %d (pid %d) ended with %s; %s", place.number, pid, how(code), again)
        elif code:
            self._status = self._status or FAILURE
            _log.warning("worker %d (pid %d) ended with %s", place.number, pid, how(code))

    def _over(self, place: _Place) -> float:
        """Nobody works at this place now; when somebody will, in seconds."""
        if place.ready_pipe is not None:
            os.close(place.ready_pipe)
        place.ready_pipe = None
        place.is_ready = False
        place.failed = True
        now = monotonic()
        delay_s = place.backoff.after(now - place.started_s)
        place.due_s = now + delay_s
        return delay_s

    def _stop(self) -> int:
        """Drain all workers, kill those who take too long or when told again; the exit status."""
        self._stopping = True
        self._signal_all(signal.SIGTERM)
        until_s = monotonic() + self._settings.drain_timeout + STOP_MARGIN_S
        while any(place.pid is not None for place in self._places):
            again = self._wait(until_s)
            if again or monotonic() >= until_s:
                self._status = 128 + signal.SIGINT if again else FAILURE
                self._signal_all(signal.SIGKILL)
                until_s = inf
        return self._status

    def _signal_all(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.pid is not None:  # not reaped yet, so the pid is nobody else's
                os.kill(place.pid, number)

    # Waiting

    def _wait(self, until_s: float) -> bool:
        """Wait until a worker is ready or dead, a signal comes or `until_s` is there; whether one was to stop."""
        pipes = [self._wakeup, *(place.ready_pipe for place in self._places if place.ready_pipe is not None)]
        select(pipes, [], [], None if until_s == inf else max(0.0, until_s - monotonic()))
        try:
            numbers = os.read(self._wakeup, 4096)
        except BlockingIOError:
            numbers = b""
        for place in self._places:
            self._hear(place)
        self._reap()
        return any(number in self._stop_signals for number in numbers)

    def _hear(self, place: _Place) -> None:
        if place.ready_pipe is None or not select([place.ready_pipe], [], [], 0)[0]:
            return
        if os.read(place.ready_pipe, 1):
            place.is_ready = self._was_ready = True
        os.close(place.ready_pipe)
        place.ready_pipe = None


def how(code: int) -> str:
    """An exit code of Python's kind in words."""
    if code >= 0:
        return f"status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
