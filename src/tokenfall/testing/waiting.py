"""Polling of a server's state."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

POLL_S = 0.003
"""Interval between two requests, each of which takes about half a millisecond."""

T = TypeVar("T")


def poll(read: Callable[[], T], is_done: Callable[[T], bool], *, within_s: float, what: str) -> T:
    """Call `read` until `is_done` accepts its result, and return that. Raises TimeoutError with `what` and the last
    result.

    It blocks its thread. In a coroutine call it with `asyncio.to_thread`; otherwise a client in the same loop blocks.
    """
    until_s = monotonic() + within_s
    while not is_done(value := read()):
        if monotonic() >= until_s:
            raise TimeoutError(f"waited {within_s:g} s for {what}; got {value!r}")
        sleep(POLL_S)
    return value
