"""How much memory something takes."""

import tracemalloc
from collections.abc import Callable


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
