"""Runs sliced computations (`tokenfall.slicing.computation`): in each turn of the loop, one of them for 2 ms.

`start_sliced` computes synchronously for the time that one request may block the loop; `run_sliced` and `later` yield
to the loop. Times are CPU times of the thread, so that other processes on the CPU do not shorten the slices.
"""

from collections.abc import Coroutine
from time import thread_time
from typing import Any, TypeVar

from tokenfall.slicing.computation import LOOP_TURN, Sliced

T = TypeVar("T")

AT_ONCE_S = 0.005
"""CPU time that a request may use without yielding to the loop. Ordinary requests stay below it and need no asyncio."""

SLICE_S = 0.002
"""CPU time of a computation in one turn of the loop; the slice that exceeds it is completed."""

_waiting: list[object] = []
"""The pending computations. Only the first one runs in a turn, so that many block the loop no longer than one."""


def start_sliced(work: Sliced[T], for_s: float = AT_ONCE_S) -> T | Coroutine[Any, Any, T]:
    """Compute for up to `for_s`; return the result if it is complete, else a coroutine that continues."""
    try:
        _advance(work, for_s)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return] # the return type of `Sliced`
    return later(work)


async def run_sliced(work: Sliced[T]) -> T:
    """The result; without yielding if it takes no longer than one turn."""
    result = start_sliced(work, SLICE_S)
    return await result if isinstance(result, Coroutine) else result


async def later(work: Sliced[T]) -> T:
    """The result; in each turn of the loop, one of the pending computations runs."""
    entry = object()
    _waiting.append(entry)
    try:
        while True:
            await LOOP_TURN
            if _waiting[0] is not entry:
                continue
            try:
                _advance(work, SLICE_S)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return] # the return type of `Sliced`
            finally:  # the next computation runs in the next turn: never two in one turn
                await LOOP_TURN
            _waiting.append(_waiting.pop(0))
    finally:
        _waiting.remove(entry)
        work.close()


def _advance(work: Sliced[T], for_s: float) -> None:
    """Run slices for `for_s`. Raises StopIteration with the result."""
    until_s = thread_time() + for_s
    next(work)
    while thread_time() < until_s:
        next(work)
