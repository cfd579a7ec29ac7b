"""The clock excludes the time in which a process waits for a CPU."""

import subprocess
import sys
import time

from tests.reliability.unloaded import UnloadedClock, run_queue_wait_s

BUSY = "while True: pass"
MEASURED_S = 0.5


def test_sleeping_process_has_no_run_queue_wait() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        clock = UnloadedClock(process.pid)
        start_s, before_s = time.monotonic(), clock.now_s()
        time.sleep(0.1)
        assert clock.now_s() - before_s <= time.monotonic() - start_s
        assert run_queue_wait_s(process.pid) < MEASURED_S
        process.kill()


def test_processes_on_one_core_have_run_queue_wait() -> None:
    command = ["taskset", "-c", "0", sys.executable, "-c", BUSY]
    with subprocess.Popen(command) as one, subprocess.Popen(command) as other:
        clock = UnloadedClock(one.pid)
        start_s, before_s = time.monotonic(), clock.now_s()
        while run_queue_wait_s(one.pid) < MEASURED_S / 5:
            assert time.monotonic() - start_s < 30
            time.sleep(0.01)
        assert clock.now_s() - before_s < time.monotonic() - start_s
        one.kill()
        other.kill()
