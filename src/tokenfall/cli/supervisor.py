"""Supervises the worker processes of one port: starts, restarts, checks and stops them.

It serves no requests and must not import an event loop. Signals arrive as bytes in a pipe, so that it waits in one
place, `_wait`, and no other code is interrupted. Signals are blocked from before a fork until the worker has installed
its own handlers, so that none is lost and none ends the worker too early.
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
from tokenfall.cli.backoff import restart_delay_s
from tokenfall.cli.greeting import print_cannot_listen, print_greeting
from tokenfall.cli.port import reserve
from tokenfall.cli.worker import SIGNALS, TERMINAL_SIGNALS, Worker
from tokenfall.limits.shared import SharedTable
from tokenfall.metrics.shared import SharedMetrics
from tokenfall.reactor.signals import enable_wakeup, stop_signals
from tokenfall.settings import Settings

FAILURE = 1
CHECK_EVERY_S = 1.0
HANGS_AFTER_CHECKS = 10
"""A worker without a heartbeat in this many consecutive checks is killed and replaced. Checks are counted, not
seconds, so that a supervisor that was suspended itself kills no worker."""

STOP_MARGIN_S = 5.0
"""Time beyond the drain time for a worker to end streams, store turns and close upstream connections and stores."""

_log = logs.get("tokenfall")


Work = Callable[[Settings, Worker], int]
"""Main function of a worker: runs until it is stopped, and returns the exit status."""


def supervise(settings: Settings, work: Work) -> int:
    """Run `settings.workers` processes until a stop signal, then drain them; a second signal kills them.

    Return the exit status: 0 if all workers ended with 0, 1 if one did not or none could start, 130 after a second
    signal.
    """
    logs.set_up(settings.log_level, settings.log_format)
    try:
        reserved = reserve(settings.host, settings.port)
    except OSError as error:
        print_cannot_listen(settings.host, settings.port, error=error)
        return FAILURE
    try:
        address: tuple[str, int] = reserved[0].getsockname()[:2]
        settings = settings.replaced(port=address[1])
        supervisor = Supervisor(settings, work, greet=lambda: print_greeting(address, settings))
        return supervisor.run()
    finally:
        for each in reserved:
            each.close()


class _Slot:
    """A worker number and its current process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.ready_pipe: int | None = None
        """Pipe on which the worker reports that it is ready; None after that, or after its end."""
        self.is_ready = False
        self.failed = False
        """Whether a worker of this slot has ever ended."""
        self.started_s = 0.0
        self.due_s = 0.0
        """When to start the next worker; valid without a process."""
        self.restart_delay_s = 0.0
        """Delay of the last restart."""
        self.beats = 0
        """The worker's heartbeat count at the last check."""
        self.missed = 0
        """Consecutive checks without a new heartbeat."""


class Supervisor:
    """The worker processes of one port."""

    def __init__(self, settings: Settings, work: Work, *, greet: Callable[[], None]) -> None:
        self._settings = settings
        self._work = work
        self._greet = greet
        self._shared_metrics = SharedMetrics(settings.workers)
        self._table = SharedTable()
        self._slots = [_Slot(number) for number in range(settings.workers)]
        self._stop_signals = stop_signals()
        self._was_ready = False
        """Whether any worker was ever ready."""
        self._greeted = False
        self._stopping = False
        self._check_s = monotonic() + CHECK_EVERY_S
        self._status = 0
        self._lifeline = self._wakeup = -1
        self._own: list[int] = []
        """Descriptors that workers must close. Only this process may hold the write end of the lifeline."""

    def run(self) -> int:
        """Run until a stop signal; return the exit status. Raises OSError if no descriptors are available."""
        try:
            self._open()
            return self._supervise()
        finally:
            self._close()

    def _open(self) -> None:
        self._lifeline, lifeline_writer = os.pipe()
        self._own.append(lifeline_writer)
        self._wakeup, wakeup_writer = os.pipe()
        self._own += (self._wakeup, wakeup_writer)
        os.set_blocking(wakeup_writer, False)
        os.set_blocking(self._wakeup, False)
        for number in (*self._stop_signals, signal.SIGCHLD):
            enable_wakeup(number)
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)

    def _close(self) -> None:
        """Close all descriptors. Workers that still run read the end of file of the lifeline, and drain."""
        signal.set_wakeup_fd(-1)
        for fd in (self._lifeline, *self._own, *(slot.ready_pipe for slot in self._slots)):
            if fd is not None and fd >= 0:
                os.close(fd)
        self._table.close()

    def _supervise(self) -> int:
        while True:
            now = monotonic()
            for slot in self._slots:
                if slot.pid is None and slot.due_s <= now:
                    self._start(slot)
            if self._wait(min((self._check_s, *(slot.due_s for slot in self._slots if slot.pid is None)))):
                return self._stop()
            if monotonic() >= self._check_s:
                self._check_s = monotonic() + CHECK_EVERY_S
                self._kill_hung_workers()
            if not self._was_ready and all(slot.failed for slot in self._slots):
                print(f"tokenfall: WORKERS: none of {len(self._slots)} could start", file=sys.stderr)
                return self._stop() or FAILURE
            if not self._greeted and all(slot.is_ready for slot in self._slots):
                self._greeted = True
                self._greet()

    def _kill_hung_workers(self) -> None:
        """Kill workers whose loop has stopped: the kernel would still distribute connections to them."""
        for slot in self._slots:
            if slot.pid is None or not slot.is_ready:
                continue
            beats, slot.beats = slot.beats, self._shared_metrics.beats(slot.number)
            slot.missed = slot.missed + 1 if beats == slot.beats else 0
            if slot.missed >= HANGS_AFTER_CHECKS:
                slot.missed = 0
                seconds = HANGS_AFTER_CHECKS * CHECK_EVERY_S
                _log.error("worker %d (pid %d) had no heartbeat for %g s: killed", slot.number, slot.pid, seconds)
                os.kill(slot.pid, signal.SIGKILL)

    # Start and end of workers

    def _start(self, slot: _Slot) -> None:
        slot.started_s = monotonic()
        try:
            self._fork(slot)
        except OSError as error:
            _log.warning("worker %d could not be started: %s", slot.number, error)
            self._schedule_restart(slot)

    def _fork(self, slot: _Slot) -> None:
        slot.ready_pipe, ready = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_worker(slot.number, ready)
            slot.pid = pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.close(ready)

    def _become_worker(self, number: int, ready: int) -> NoReturn:
        status = FAILURE
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for ignored in TERMINAL_SIGNALS:
                signal.signal(ignored, signal.SIG_IGN)
            for each in (*self._own, *(slot.ready_pipe for slot in self._slots)):
                if each is not None:
                    os.close(each)
            self._shared_metrics.number = number
            worker = Worker(self._shared_metrics, self._table, lifeline=self._lifeline, ready=ready)
            status = self._work(self._settings, worker)
        except Exception:  # noqa: BLE001 - the outermost frame of the process
            _log.exception("worker %d failed", number)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # must not return into the supervisor's stack

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.pid is None:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid:
                self._ended(slot, code=os.waitstatus_to_exitcode(status))

    def _ended(self, slot: _Slot, *, code: int) -> None:
        pid, slot.pid = slot.pid, None
        self._read_ready_pipe(slot)  # it may have been ready before it ended
        self._shared_metrics.mark_dead(slot.number)
        delay_s = self._schedule_restart(slot)
        if not self._stopping:
            restart = f"restarting in {delay_s:g} s"
            _log.warning("worker %d (pid %d) ended with %s; %s", slot.number, pid, exit_reason(code), restart)
        elif code:
            self._status = self._status or FAILURE
            _log.warning("worker %d (pid %d) ended with %s", slot.number, pid, exit_reason(code))

    def _schedule_restart(self, slot: _Slot) -> float:
        """Reset a slot whose worker has ended; return the delay of the restart in seconds."""
        if slot.ready_pipe is not None:
            os.close(slot.ready_pipe)
        slot.ready_pipe = None
        slot.is_ready = False
        slot.failed = True
        now = monotonic()
        slot.restart_delay_s = restart_delay_s(slot.restart_delay_s, now - slot.started_s)
        slot.due_s = now + slot.restart_delay_s
        return slot.restart_delay_s

    def _stop(self) -> int:
        """Drain all workers; kill them after the timeout or on a second signal. Return the exit status."""
        self._stopping = True
        self._signal_all(signal.SIGTERM)
        until_s = monotonic() + self._settings.drain_timeout + STOP_MARGIN_S
        while any(slot.pid is not None for slot in self._slots):
            signalled = self._wait(until_s)
            if signalled or monotonic() >= until_s:
                self._status = 128 + signal.SIGINT if signalled else FAILURE
                self._signal_all(signal.SIGKILL)
                until_s = inf
        return self._status

    def _signal_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.pid is not None:  # not reaped yet, so the pid cannot have been reused
                os.kill(slot.pid, number)

    # Waiting

    def _wait(self, until_s: float) -> bool:
        """Wait for a worker to be ready or end, a signal or `until_s`; return whether a stop signal arrived."""
        pipes = [self._wakeup, *(slot.ready_pipe for slot in self._slots if slot.ready_pipe is not None)]
        select(pipes, [], [], None if until_s == inf else max(0.0, until_s - monotonic()))
        try:
            numbers = os.read(self._wakeup, 4096)
        except BlockingIOError:
            numbers = b""
        for slot in self._slots:
            self._read_ready_pipe(slot)
        self._reap()
        return any(number in self._stop_signals for number in numbers)

    def _read_ready_pipe(self, slot: _Slot) -> None:
        if slot.ready_pipe is None or not select([slot.ready_pipe], [], [], 0)[0]:
            return
        if os.read(slot.ready_pipe, 1):
            slot.is_ready = self._was_ready = True
        os.close(slot.ready_pipe)
        slot.ready_pipe = None


def exit_reason(code: int) -> str:
    """Text for an exit code; negative for a signal, as in `os.waitstatus_to_exitcode`."""
    if code >= 0:
        return f"status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
