import asyncio

import pytest

from tokenfall.errors import UpstreamReset

from tests.doubles.connections import settle
from tests.doubles.exchanges import FakeConnection, RecordedExchange


class ServedExchange:
    def __init__(self) -> None:
        self.connection = FakeConnection()
        self.exchange = RecordedExchange()
        self.exchange.begin()
        self.done = self.exchange.end
        self.connection.attach(self.exchange)


async def test_finish_settles_the_connection_and_ends_once() -> None:
    served = ServedExchange()
    served.exchange.finish()
    served.exchange.finish()
    served.exchange.fail(UpstreamReset("late"))
    await served.done

    assert served.connection.calls[:1] == ["settle"]


async def test_fail_closes_the_connection_and_ends_once() -> None:
    served = ServedExchange()
    served.exchange.fail(UpstreamReset("first"))
    served.exchange.fail(UpstreamReset("second"))
    served.exchange.finish()
    with pytest.raises(UpstreamReset, match="first"):
        await served.done

    assert served.connection.calls[0] == "abandon"


async def test_abandon_closes_the_connection_once() -> None:
    served = ServedExchange()
    served.exchange.abandon()
    served.exchange.connection = None
    served.exchange.abandon()

    assert served.connection.calls == ["abandon"]


async def test_second_wait_for_room_is_ignored() -> None:
    served = ServedExchange()
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    served.exchange.wait_for(first)
    served.exchange.wait_for(second)
    second.set_result(None)
    await settle()
    assert not served.connection.reads
    first.set_result(None)
    await settle()

    assert served.connection.calls == []
    assert served.connection.reads


async def test_room_may_be_a_coroutine_which_stop_cancels() -> None:
    served = ServedExchange()
    event = asyncio.Event()
    cancelled: list[bool] = []

    async def room() -> None:
        try:
            await event.wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    served.exchange.wait_for(room())
    await settle()
    served.exchange.stop()
    await settle()

    assert cancelled == [True]


async def test_room_after_the_end_changes_nothing() -> None:
    served = ServedExchange()
    room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    served.exchange.wait_for(room)
    served.exchange.connection = None
    room.set_result(None)
    await settle()

    assert not served.connection.reads


async def test_cancelled_room_resumes_reading() -> None:
    served = ServedExchange()
    room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    served.exchange.wait_for(room)
    room.cancel()
    await settle()

    assert served.connection.reads
