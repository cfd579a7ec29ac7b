import asyncio
import threading

import pytest

from tokenfall.threads import in_thread


async def test_call_runs_in_its_own_thread_which_ends() -> None:
    names = await asyncio.gather(*(in_thread(threading.current_thread) for _ in range(3)))

    assert len({*names, threading.current_thread()}) == 4
    for thread in names:
        thread.join(10)
    assert not any(thread.is_alive() for thread in names)


async def test_exception_of_the_call_is_raised() -> None:
    def fail() -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await in_thread(fail)


async def test_result_is_dropped_after_a_cancellation() -> None:
    begun, released, ended = (threading.Event() for _ in range(3))

    def call() -> None:
        begun.set()
        released.wait(10)
        ended.set()

    future = in_thread(call)
    assert begun.wait(10)
    future.cancel()
    released.set()
    assert ended.wait(10)
    with pytest.raises(asyncio.CancelledError):
        await future
    assert await in_thread(lambda: "next") == "next"
