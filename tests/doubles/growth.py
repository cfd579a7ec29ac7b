"""How much processor a call takes. On a busy machine, too: waiting does not count."""

import time
from collections.abc import Callable


def cpu_s(call: Callable[[], object], *, tries: int = 3) -> float:
    """Seconds of processor that `call` takes in this thread, the least of some tries."""
    took = []
    for _ in range(tries):
        began = time.thread_time()
        call()
        took.append(time.thread_time() - began)
    return min(took)
