"""Runs a single call in a thread, for computations that would block the event loop.

While the call runs Python code, the loop gets the interpreter every few milliseconds (`sys.getswitchinterval`). The
thread ends with the call, because an idle thread would keep memory.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import Future

T = TypeVar("T")


def in_thread(call: Callable[[], T]) -> "Future[T]":
    """A future with the result or exception of `call`. Cancelling it does not end the call."""
    from asyncio import get_running_loop  # noqa: PLC0415 - rarely needed
    from threading import Thread  # noqa: PLC0415

    loop = get_running_loop()
    future: Future[T] = loop.create_future()

    def settle(setter: Callable[[Any], None], value: object) -> None:
        if not future.cancelled():
            setter(value)

    def run() -> None:
        setter: Callable[[Any], None] = future.set_result
        value: object = None
        try:
            value = call()
        except Exception as error:  # noqa: BLE001 - raised where the future is awaited
            setter, value = future.set_exception, error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, setter, value)
        value = None  # break the reference cycle through the traceback

    Thread(target=run, name="tokenfall").start()
    return future
