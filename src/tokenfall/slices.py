"""Long computations in slices, so that no request keeps the event loop from the streams beside it. Pure.

A sliced computation is a generator: it yields between two slices and returns its result. A slice takes a few
milliseconds at most. Callers choose: `at_once` runs all of it, `begun` as much as takes no longer than a request may,
`run_sliced` gives the loop a turn between two slices.
"""

from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

Sliced = Generator[None, None, T]

AT_ONCE = 2
"""So many slices run without a turn of the loop: ordinary requests need no coroutine, and so no asyncio."""


class _Turn:
    """Awaiting it gives every other task one turn, as `asyncio.sleep(0)` does."""

    def __await__(self) -> Generator[None, None, None]:
        yield


TURN = _Turn()
_waiting: list[object] = []
"""The computations under way. Only the first may run a slice: many of them take no longer a stretch than one."""


def at_once(work: Sliced[T]) -> T:
    """The result, computed without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # what `Sliced` says that it returns


def begun(work: Sliced[T], slices: int = AT_ONCE) -> T | Coroutine[Any, Any, T]:
    """Run so many slices now: the result where there are no more, else the coroutine of the others."""
    try:
        for _ in range(slices):
            next(work)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return] # what `Sliced` says that it returns
    return _rest(work)


async def run_sliced(work: Sliced[T]) -> T:
    """The result; at once where there is only one slice."""
    result = begun(work, 1)
    return await result if isinstance(result, Coroutine) else result


async def _rest(work: Sliced[T]) -> T:
    """The result. Of all computations that wait here, one runs one slice in each turn of the loop."""
    place = object()
    _waiting.append(place)
    try:
        while True:
            await TURN
            if _waiting[0] is not place:
                continue
            try:
                next(work)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return] # what `Sliced` says that it returns
            finally:  # only in the next turn of the loop is it another's: never two slices in one turn
                await TURN
            _waiting.append(_waiting.pop(0))
    finally:
        _waiting.remove(place)
        work.close()
