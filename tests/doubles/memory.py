"""How much memory something takes, and memory for complete responses."""

import tracemalloc
from collections.abc import Callable

from tokenfall.metrics import Metrics
from tokenfall.request_memory import RequestMemory
from tokenfall.response_memory import ResponseMemory


def ample_memory() -> ResponseMemory:
    """More than the complete responses of a test take."""
    return ResponseMemory(2**30, Metrics())


def ample_request_memory() -> RequestMemory:
    """More than the requests of a test take."""
    return RequestMemory(2**30)


def held_bytes(make: Callable[[], object]) -> int:
    """Of what `make` returns, with all that it made and that is still there."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        made = make()
        after, _ = tracemalloc.get_traced_memory()
        del made
        return after - before
    finally:
        tracemalloc.stop()
