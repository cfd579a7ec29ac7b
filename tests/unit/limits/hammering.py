"""A program: a supervisor and two workers that spend one client's bucket; tests run it and read its output.

A program of its own, because a test process has threads and must not fork.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine

from tokenfall.limits.shared import Place, SharedLimiter, SharedTable

BURST = 20


class SlowTable(SharedTable):
    """Widens the window between read and write, in which another process would read the same state."""

    def find(self, place: Place, now_s: float) -> tuple[int, float]:
        found = super().find(place, now_s)
        time.sleep(0.001)
        return found

    def unlock(self) -> None:
        super().unlock()
        time.sleep(0.001)  # otherwise the other processes never get the lock


async def allowed_until(limiter: SharedLimiter, until_s: float) -> int:
    """The number of allowed requests until this time."""
    allowed = 0
    while time.monotonic() < until_s:
        allowed += (await limiter.take("203.0.113.7")).allowed
    return allowed


async def allowed_of_100(limiter: SharedLimiter) -> int:
    """The number of allowed requests out of a hundred."""
    return sum([(await limiter.take("203.0.113.7")).allowed for _ in range(100)])


def fork_worker(work: Callable[[], Coroutine[None, None, int]]) -> tuple[int, int]:
    """Fork a worker that writes the result of `work` to a pipe: its pid, and the read end of the pipe."""
    read_end, inlet = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(inlet, b"%d" % asyncio.run(work()))
        os._exit(0)
    os.close(inlet)
    return pid, read_end


def read_result(worker: tuple[int, int]) -> int:
    """Wait for the worker's result."""
    pid, read_end = worker
    with os.fdopen(read_end, "rb") as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return int(text)


def run_together(table: SharedTable, *, rate: float, seconds: float) -> None:
    """Two workers at once: their results, and the time from before the first to after the last request."""
    limiter = SharedLimiter(rate, BURST, table=table, now=time.monotonic)
    start_s = time.monotonic()
    workers = [fork_worker(lambda: allowed_until(limiter, start_s + seconds)) for _ in range(2)]
    each = [read_result(worker) for worker in workers]
    sys.stdout.write(json.dumps({"each": each, "elapsed_s": time.monotonic() - start_s}))


def kill_workers(times: int) -> None:
    """Kills running workers one after the other and prints the number of requests allowed after each."""
    limiter = SharedLimiter(1e6, BURST, table=SharedTable(), now=time.monotonic)
    allowed = []
    for _ in range(times):
        pid, read_end = fork_worker(lambda: allowed_until(limiter, time.monotonic() + 60))
        asyncio.run(allowed_until(limiter, time.monotonic() + 0.01))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read_end)
        allowed.append(asyncio.run(allowed_of_100(limiter)))
    sys.stdout.write(json.dumps({"allowed": allowed}))


if __name__ == "__main__":
    mode, argument = sys.argv[1:]
    if mode == "killed":
        kill_workers(int(argument))
    else:
        run_together(SlowTable() if mode == "slow" else SharedTable(), rate=float(argument), seconds=1.0)
