"""CPU time of a call; time spent waiting on a busy machine does not count."""

import time
from collections.abc import Callable


def cpu_s(call: Callable[[], object], *, tries: int = 3) -> float:
    """Return the CPU seconds of `call` in this thread, the minimum of `tries` runs."""
    took = []
    for _ in range(tries):
        began = time.thread_time()
        call()
        took.append(time.thread_time() - began)
    return min(took)
