"""One call in a thread of its own, for what computes for longer than a request may hold the event loop.

While it runs Python code the loop has its turn every few milliseconds (`sys.getswitchinterval`). The thread ends with
the call: an idle one would keep its memory.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from asyncio import Future

T = TypeVar("T")


def in_thread(call: Callable[[], T]) -> "Future[T]":
    """What `call` will return or raise. Cancelling the future does not end the call."""
    from asyncio import get_running_loop  # noqa: PLC0415 - few need a thread
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    thread = ThreadPoolExecutor(1, "tokenfall")
    try:
        return get_running_loop().run_in_executor(thread, call)
    finally:
        thread.shutdown(wait=False)
