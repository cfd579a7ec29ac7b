import asyncio
import socket
from typing import Any

import pytest

from tokenfall.upstream.resolver import CACHE_S, AddressInfo, CachingResolver

from tests.doubles.clocks import FakeClock
from tests.doubles.connections import settle


def info(host: str, port: int = 80) -> AddressInfo:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


class FakeResolver:
    """Replaces the system's resolver: each look-up waits until the test resolves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lookups: list[asyncio.Future[list[AddressInfo]]] = []
        self.clock = FakeClock()
        self.names = CachingResolver(self.clock)
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, host: str, port: int, **_: Any) -> list[AddressInfo]:
        future: asyncio.Future[list[AddressInfo]] = asyncio.get_running_loop().create_future()
        self.lookups.append(future)
        return await future

    async def look_up(self) -> "asyncio.Task[list[AddressInfo]]":
        task = asyncio.ensure_future(self.names.look_up("a.example", 80))
        await settle()
        return task

    async def resolve(self, *found: AddressInfo) -> list[AddressInfo]:
        task = await self.look_up()
        self.lookups[-1].set_result(list(found))
        return await task


@pytest.fixture
async def resolver(monkeypatch: pytest.MonkeyPatch) -> FakeResolver:
    return FakeResolver(monkeypatch)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_ip_address_is_not_resolved(resolver: FakeResolver, host: str) -> None:
    found = await resolver.names.look_up(host, 80)

    assert [each[4][:2] for each in found] == [(host, 80)]
    assert resolver.lookups == []


async def test_result_is_cached_for_a_short_time(resolver: FakeResolver) -> None:
    found = await resolver.resolve(info("192.0.2.1"), info("192.0.2.2"))
    assert found == [info("192.0.2.1"), info("192.0.2.2")]
    resolver.clock.advance(CACHE_S - 0.1)
    assert await resolver.names.look_up("a.example", 80) == found
    assert len(resolver.lookups) == 1
    resolver.clock.advance(0.1)

    assert await resolver.resolve(info("192.0.2.3")) == [info("192.0.2.3")]
    assert len(resolver.lookups) == 2


async def test_concurrent_look_ups_share_one_call(resolver: FakeResolver) -> None:
    first, second = await resolver.look_up(), await resolver.look_up()
    assert len(resolver.lookups) == 1
    resolver.lookups[0].set_result([info("192.0.2.1")])

    assert await first == await second == [info("192.0.2.1")]


async def test_cancelled_caller_does_not_cancel_the_look_up_for_others(resolver: FakeResolver) -> None:
    first, second = await resolver.look_up(), await resolver.look_up()
    first.cancel()
    await settle()
    resolver.lookups[0].set_result([info("192.0.2.1")])

    assert first.cancelled()
    assert await second == [info("192.0.2.1")]


async def test_failure_is_reported_and_not_cached(resolver: FakeResolver) -> None:
    first, second = await resolver.look_up(), await resolver.look_up()
    resolver.lookups[0].set_exception(socket.gaierror(socket.EAI_AGAIN, "again"))
    for task in (first, second):
        with pytest.raises(socket.gaierror):
            await task

    assert await resolver.resolve(info("192.0.2.1")) == [info("192.0.2.1")]


async def test_failure_without_a_waiting_caller_logs_nothing(resolver: FakeResolver) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    task = await resolver.look_up()
    task.cancel()
    await settle()
    resolver.lookups.pop().set_exception(socket.gaierror(socket.EAI_AGAIN, "again"))
    await settle()
    del task

    assert complaints == []


async def test_empty_result_is_a_failure(resolver: FakeResolver) -> None:
    with pytest.raises(socket.gaierror):
        await resolver.resolve()


async def test_forgotten_name_is_resolved_again(resolver: FakeResolver) -> None:
    await resolver.resolve(info("192.0.2.1"))
    resolver.names.forget("a.example", 80)
    resolver.names.forget("b.example", 80)

    assert await resolver.resolve(info("192.0.2.2")) == [info("192.0.2.2")]
