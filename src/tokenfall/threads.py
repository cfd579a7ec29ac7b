"""Runs a single call in a thread, for computations that would block the event loop.

While the call runs Python code, the loop gets the interpreter every few milliseconds (`sys.getswitchinterval`). The
thread ends with the call, because an idle thread would keep memory.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from asyncio import Future

T = TypeVar("T")


def in_thread(call: Callable[[], T]) -> "Future[T]":
    """A future with the result or exception of `call`. Cancelling it does not end the call."""
    from asyncio import get_running_loop  # noqa: PLC0415 - rarely needed
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    thread = ThreadPoolExecutor(1, "tokenfall")
    try:
        return get_running_loop().run_in_executor(thread, call)
    finally:
        thread.shutdown(wait=False)
