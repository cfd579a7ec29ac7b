"""Runs sliced computations (`tokenfall.slices`): of all that are under way, one for 2 ms in a turn of the loop.

Callers choose: `begun` computes as much as takes no longer than a request may, `run_sliced` and `later` give the loop
its turns. Time is the thread's processor time: slices are no longer on a slow processor, and no shorter on a busy one.
"""

from collections.abc import Coroutine
from time import thread_time
from typing import Any, TypeVar

from tokenfall.slices import TURN, Sliced

T = TypeVar("T")

AT_ONCE_S = 0.005
"""So long a request is computed without a turn of the loop: ordinary ones need no coroutine, and so no asyncio."""

SLICE_S = 0.002
"""So long a computation runs in one turn of the loop; then its slice is taken to its end."""

_waiting: list[object] = []
"""The computations under way. Only the first may run: many of them take no longer a stretch than one."""


def begun(work: Sliced[T], for_s: float = AT_ONCE_S) -> T | Coroutine[Any, Any, T]:
    """Compute for so long now: the result where that is enough, else the coroutine of the rest."""
    try:
        _advance(work, for_s)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return] # what `Sliced` says that it returns
    return later(work)


async def run_sliced(work: Sliced[T]) -> T:
    """The result; at once where it takes no longer than a turn."""
    result = begun(work, SLICE_S)
    return await result if isinstance(result, Coroutine) else result


async def later(work: Sliced[T]) -> T:
    """The result. Of all computations that wait here, one runs in each turn of the loop."""
    place = object()
    _waiting.append(place)
    try:
        while True:
            await TURN
            if _waiting[0] is not place:
                continue
            try:
                _advance(work, SLICE_S)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return] # what `Sliced` says that it returns
            finally:  # only in the next turn of the loop is it another's: never two of them in one turn
                await TURN
            _waiting.append(_waiting.pop(0))
    finally:
        _waiting.remove(place)
        work.close()


def _advance(work: Sliced[T], for_s: float) -> None:
    """Run slices until so much time is spent. Raises StopIteration with the result."""
    until_s = thread_time() + for_s
    next(work)
    while thread_time() < until_s:
        next(work)
