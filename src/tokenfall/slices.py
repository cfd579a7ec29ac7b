"""Long computations in slices, so that no request keeps the event loop from the streams beside it. Pure.

A sliced computation is a generator: it yields between two slices and returns its result. A slice takes a fraction of a
millisecond. `at_once` runs all of them; `tokenfall.slicing` as many as a turn of the loop has time for.
"""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Sliced = Generator[None, None, T]


class _Turn:
    """Awaiting it gives every other task one turn, as `asyncio.sleep(0)` does."""

    def __await__(self) -> Generator[None, None, None]:
        yield


TURN = _Turn()


def at_once(work: Sliced[T]) -> T:
    """The result, computed without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # what `Sliced` says that it returns
