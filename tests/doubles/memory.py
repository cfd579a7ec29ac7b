"""Measuring allocated memory, and a response memory without a practical limit."""

import tracemalloc
from collections.abc import Callable

from tokenfall.memory.leases import RequestMemory, ResponseMemory
from tokenfall.metrics.registry import Metrics


def ample_memory() -> ResponseMemory:
    """Return a response memory larger than any test needs."""
    return ResponseMemory(2**30, Metrics())


def ample_request_memory() -> RequestMemory:
    """Return a request memory larger than any test needs."""
    return RequestMemory(2**30, Metrics())


def held_bytes(make: Callable[[], object]) -> int:
    """Return the bytes that `make` allocated and that remain allocated while its result lives."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        made = make()
        after, _ = tracemalloc.get_traced_memory()
        del made
        return after - before
    finally:
        tracemalloc.stop()
