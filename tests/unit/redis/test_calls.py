import asyncio
import gc
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tokenfall.errors import StoreUnavailable
from tokenfall.redis.calls import Calls


class Client:
    """A client that supports only `aclose`."""

    async def aclose(self, *, close_connection_pool: bool) -> None:
        assert close_connection_pool


async def test_failed_or_late_calls_are_counted_and_others_are_not() -> None:
    failures: list[str] = []
    calls = Calls(cast("Redis", Client()), failed=lambda: failures.append("one"))
    release = asyncio.Event()

    async def succeeds() -> str:
        return "PONG"

    async def broken() -> str:
        raise RedisConnectionError("gone")

    async def late() -> str:
        await release.wait()
        return "PONG"

    assert await calls.run(succeeds()) == "PONG"
    assert failures == []
    for count, call in enumerate((broken(), late()), 1):
        with pytest.raises(StoreUnavailable):
            await calls.run(call, within_s=0.01)
        assert len(failures) == count
    release.set()
    await calls.close()


@pytest.mark.parametrize("is_logged", [True, False])
async def test_failures_are_logged_if_requested(caplog: pytest.LogCaptureFixture, is_logged: bool) -> None:
    calls, release = Calls(cast("Redis", Client()), is_logged=is_logged), asyncio.Event()

    async def broken() -> None:
        raise RedisConnectionError("gone")

    for call in (broken(), release.wait()):
        with pytest.raises(StoreUnavailable):
            await calls.run(call, within_s=0.01)
    release.set()
    await calls.close()

    messages = ["Redis failed: ConnectionError: gone", "Redis did not respond within 0.0 s"]
    assert caplog.messages == (messages if is_logged else [])


async def test_error_of_a_call_whose_caller_was_cancelled_is_not_reported_as_unretrieved() -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    calls, release = Calls(cast("Redis", Client())), asyncio.Event()

    async def broken() -> None:
        await release.wait()
        raise RedisConnectionError("gone")

    caller = asyncio.create_task(calls.run(broken()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    release.set()
    await calls.close()
    del caller  # its traceback refers to the call
    gc.collect()

    assert reported == []
