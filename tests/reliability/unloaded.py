"""A clock for deadlines on a machine that does other things as well."""

import os
import time
from pathlib import Path

NS = 1_000_000_000


def waited_s(pid: int) -> float:
    """Seconds that the main thread of a process was ready to run and waited for a processor: the second field of
    `schedstat` (Documentation/scheduler/sched-stats.rst).
    """
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / NS


class UnloadedClock:
    """Seconds without those in which this process or one of `pids` waited for a processor. The waits add up, because
    what a test measures goes from one process to the next. On an idle machine the seconds are those of
    `time.monotonic`. What a test measures with it are the deadlines of a server, and not the load of the machine.
    """

    def __init__(self, *pids: int) -> None:
        self._waited_s = {pid: waited_s(pid) for pid in (os.getpid(), *pids)}

    def now_s(self) -> float:
        return time.monotonic() - sum(waited_s(pid) - before_s for pid, before_s in self._waited_s.items())
