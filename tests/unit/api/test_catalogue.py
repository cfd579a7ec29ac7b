import asyncio

import pytest

from tokenfall.api.catalogue import CACHED_S, Catalogue
from tokenfall.errors import UpstreamError, UpstreamFailed, UpstreamMalformed, UpstreamRefused, UpstreamTotalTimeout

from tests.doubles.clocks import FakeClock


class ModelLists:
    """Model lists returned in order; the last one is repeated."""

    def __init__(self, *lists: bytes | Exception) -> None:
        self._lists = list(lists)
        self.requests = 0

    async def __call__(self) -> bytes:
        self.requests += 1
        await asyncio.sleep(0)
        body = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        if isinstance(body, Exception):
            raise body
        return body


ONE, TWO = b'{"object":"list","data":[{"id":"up-1"},{"id":"sim"}]}', b'{"data":[{"id":"up-2","object":"model"}]}'


async def test_simulator_accepts_every_model_name_without_an_upstream() -> None:
    catalogue = Catalogue(None, FakeClock())

    assert await catalogue.names() == ["sim"]
    assert (await catalogue.has("sim"), await catalogue.has("sim:gap=1s"), await catalogue.has("up-1")) == (
        True,
        True,
        True,
    )


async def test_simulator_is_listed_first_and_once() -> None:
    catalogue = Catalogue(ModelLists(ONE), FakeClock())

    assert await catalogue.names() == ["sim", "up-1"]
    assert (await catalogue.has("up-1"), await catalogue.has("up-2")) == (True, False)


async def test_model_list_is_cached_for_a_limited_time() -> None:
    clock, lists = FakeClock(0.0), ModelLists(ONE, TWO)
    catalogue = Catalogue(lists, clock)
    await catalogue.names()
    clock.advance(CACHED_S - 0.1)
    assert await catalogue.names() == ["sim", "up-1"]
    clock.advance(0.2)

    assert await catalogue.names() == ["sim", "up-2"]
    assert lists.requests == 2


async def test_concurrent_requests_for_models_share_one_upstream_request() -> None:
    lists = ModelLists(ONE)
    catalogue = Catalogue(lists, FakeClock())

    assert await asyncio.gather(*(catalogue.names() for _ in range(9))) == [["sim", "up-1"]] * 9
    assert lists.requests == 1


async def test_failed_model_list_is_reported_and_not_cached() -> None:
    catalogue = Catalogue(ModelLists(UpstreamFailed("down"), ONE), FakeClock())
    with pytest.raises(UpstreamFailed):
        await catalogue.names()

    assert await catalogue.names() == ["sim", "up-1"]


@pytest.mark.parametrize("listed", [UpstreamRefused("404", status=404), b"<html>"])
async def test_every_model_exists_if_the_upstream_does_not_list_its_models(listed: bytes | Exception) -> None:
    catalogue = Catalogue(ModelLists(listed), FakeClock())

    assert await catalogue.has("up-1")
    with pytest.raises(UpstreamError):
        await catalogue.names()


async def test_simulator_is_known_while_the_upstream_is_down() -> None:
    assert await Catalogue(ModelLists(UpstreamFailed("down")), FakeClock()).has("sim")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":7}', b'{"data":[{"id":7}]}', b"\xff", b"[" * 100_000])
async def test_invalid_model_list_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed, match=r"^the upstream's list of models is malformed$"):
        await Catalogue(ModelLists(body), FakeClock()).names()


class HangingModelLists(ModelLists):
    """Model lists returned in order; an empty one hangs."""

    def __init__(self, *lists: bytes | Exception) -> None:
        super().__init__(*lists)
        self.hangs = asyncio.Event()
        self.given_up = 0

    async def __call__(self) -> bytes:
        body = await super().__call__()
        if body:
            return body
        self.hangs.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        raise AssertionError


async def test_other_callers_get_the_cached_list_while_the_upstream_hangs() -> None:
    clock, lists = FakeClock(0.0), HangingModelLists(ONE, b"")
    catalogue = Catalogue(lists, clock)
    await catalogue.names()
    clock.advance(CACHED_S + 1)
    first = asyncio.ensure_future(catalogue.names())
    await lists.hangs.wait()

    assert [await catalogue.names() for _ in range(3)] == [["sim", "up-1"]] * 3
    assert lists.requests == 2
    first.cancel()
    await asyncio.wait([first])


async def test_cached_list_is_used_after_a_timeout_of_the_upstream() -> None:
    clock, lists = FakeClock(0.0), HangingModelLists(ONE, b"", TWO)
    catalogue = Catalogue(lists, clock, within_s=0.01)
    await catalogue.names()
    clock.advance(CACHED_S + 1)

    assert await catalogue.names() == ["sim", "up-1"]
    assert await catalogue.names() == ["sim", "up-1"], "cached for another period"
    await asyncio.sleep(0)
    assert (lists.requests, lists.given_up) == (2, 1)
    clock.advance(CACHED_S + 1)
    assert await catalogue.names() == ["sim", "up-2"]


async def test_hanging_model_list_times_out_for_all_waiters() -> None:
    lists = HangingModelLists(b"", ONE)
    catalogue = Catalogue(lists, FakeClock(), within_s=0.01)
    results = await asyncio.gather(*(catalogue.names() for _ in range(9)), return_exceptions=True)

    assert [type(each) for each in results] == [UpstreamTotalTimeout] * 9
    await asyncio.sleep(0)
    assert (lists.requests, lists.given_up) == (1, 1)
    assert await catalogue.names() == ["sim", "up-1"]


async def test_cancelled_waiter_does_not_cancel_the_shared_request() -> None:
    lists = ModelLists(ONE)
    catalogue = Catalogue(lists, FakeClock())
    first, second = asyncio.ensure_future(catalogue.names()), asyncio.ensure_future(catalogue.names())
    await asyncio.sleep(0)
    first.cancel()

    assert await second == ["sim", "up-1"]
    assert lists.requests == 1
