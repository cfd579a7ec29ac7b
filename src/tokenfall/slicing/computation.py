"""Long computations in slices, so that one request does not block the event loop for other streams. Pure.

A sliced computation is a generator that yields between slices and returns its result. A slice takes a fraction of a
millisecond. `at_once` runs all slices; `tokenfall.slicing.scheduler` runs as many as fit into a turn of the loop.
"""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Sliced = Generator[None, None, T]


class _Turn:
    """Awaiting it lets every other task run once, as `asyncio.sleep(0)` does, without importing asyncio."""

    def __await__(self) -> Generator[None, None, None]:
        yield


LOOP_TURN = _Turn()


class _Nothing:
    """Awaiting it returns at once."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


NOTHING = _Nothing()


def at_once(work: Sliced[T]) -> T:
    """Run all slices and return the result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # the return type of `Sliced`
