"""Waiting for what a server will show."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

POLL_S = 0.003
"""Between two looks. A look is an HTTP request of about half a millisecond."""

T = TypeVar("T")


def awaited(look: Callable[[], T], enough: Callable[[T], bool], *, within_s: float, what: str) -> T:
    """Look again and again until it is `enough`; the last look. Raises TimeoutError, which says `what` and the last.

    Blocks its thread. In a coroutine call it with `asyncio.to_thread`, or the client in the same loop stands still.
    """
    until_s = monotonic() + within_s
    while not enough(seen := look()):
        if monotonic() >= until_s:
            raise TimeoutError(f"waited {within_s:g} s for {what}; saw {seen!r}")
        sleep(POLL_S)
    return seen
