"""A clock for measuring deadlines on a loaded machine: it excludes scheduling delays."""

import os
import time
from pathlib import Path

NS = 1_000_000_000


def run_queue_wait_s(pid: int) -> float:
    """Seconds that the main thread of a process spent on the run queue waiting for a CPU: the second field of
    `schedstat` (Documentation/scheduler/sched-stats.rst).
    """
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / NS


class UnloadedClock:
    """The monotonic clock without the run-queue waits of this process and of `pids`.

    The waits of all processes are subtracted, because a measured request passes through them one after the other. On an
    idle machine the clock is equal to `time.monotonic`.
    """

    def __init__(self, *pids: int) -> None:
        self._waits_s = {pid: run_queue_wait_s(pid) for pid in (os.getpid(), *pids)}

    def now_s(self) -> float:
        return time.monotonic() - sum(run_queue_wait_s(pid) - before_s for pid, before_s in self._waits_s.items())
