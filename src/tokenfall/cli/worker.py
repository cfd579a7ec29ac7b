"""The worker's side of its connection to the supervisor. Must not import an event loop."""

import os
import signal

from tokenfall.limits.shared import SharedTable
from tokenfall.metrics.shared import SharedMetrics

TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Signals that a terminal sends to the whole process group. Workers ignore them; the supervisor stops its workers."""
SIGNALS = (signal.SIGTERM, *TERMINAL_SIGNALS, signal.SIGCHLD)


class Worker:
    """A worker's connection to its supervisor: shared memory and pipes."""

    def __init__(self, shared_metrics: SharedMetrics, table: SharedTable, *, lifeline: int, ready: int) -> None:
        self.shared_metrics = shared_metrics
        self.table = table
        """The rate limits of all workers."""
        self.lifeline = lifeline
        """Becomes readable, with an end of file, when the supervisor ends."""
        self._ready = ready

    def report_ready(self) -> None:
        """Report to the supervisor that the worker listens, and unblock signals; handlers must be installed before."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            os.write(self._ready, b".")
        except BrokenPipeError:
            pass  # the supervisor has ended, which the lifeline reports
        finally:
            os.close(self._ready)
