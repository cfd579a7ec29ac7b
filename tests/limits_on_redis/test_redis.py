import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.errors import StoreUnavailable
from tokenfall.limits.redis import SERVER_TIME, RedisLimiter
from tokenfall.rate_limit import LimitDecision

from tests.contracts.exact_bucket import BURSTS, RATES, ExactBucket, gaps
from tests.contracts.limits import BURST, RATE, LimiterContract, taken
from tests.limits_on_redis.conftest import RedisServer

TEST_TIME = "tonumber(redis.call('GET', 'now'))"
NOW_US = 1_763_676_000_123_457
"""Time of the fake clock: microseconds since 1970."""

FRESH = count()


@pytest.fixture(scope="module", autouse=True)
def long_timeouts() -> Iterator[None]:
    """Timeouts so long that none expires on a busy machine; test_outage.py tests timeouts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenfall.limits.redis.COMMAND_TIMEOUT_S", 10.0)
        patch.setattr("tokenfall.limits.redis.TOTAL_TIMEOUT_S", 10.0)
        yield


class ServerClock:
    """A fake clock for the script, which reads it from Redis."""

    def __init__(self, server: RedisServer, now_us: int = NOW_US) -> None:
        self._server = server
        self.now_us = now_us
        self.advance(0)

    def advance(self, seconds: float) -> None:
        self.now_us += round(seconds * 1e6)
        self._server.admin.set("now", self.now_us)


@asynccontextmanager
async def limiting(
    server: RedisServer, *, rate: float = RATE, burst: int = BURST, now_lua: str = TEST_TIME
) -> AsyncIterator[RedisLimiter]:
    limiter = RedisLimiter(rate, burst, url=server.url, now_lua=now_lua)
    try:
        yield limiter
    finally:
        await limiter.close()


@pytest.fixture
def clock(server: RedisServer) -> ServerClock:
    return ServerClock(server)


@pytest.fixture
async def limiter(server: RedisServer, clock: ServerClock) -> AsyncIterator[RedisLimiter]:
    async with limiting(server) as limiter:
        yield limiter


class TestRedisLimiter(LimiterContract):
    @pytest.fixture
    def limiter(self, limiter: RedisLimiter) -> RedisLimiter:
        return limiter

    @pytest.fixture
    def advance(self, clock: ServerClock) -> Callable[[float], None]:
        return clock.advance


@given(st.data(), RATES, BURSTS)
async def test_redis_script_agrees_with_an_exact_token_bucket(
    common_server: RedisServer, data: st.DataObject, rate: float, burst: int
) -> None:
    clock = ServerClock(common_server)
    client = f"client {next(FRESH)}"
    exact = ExactBucket(Fraction(clock.now_us, 10**6), rate=rate, burst=burst)
    async with limiting(common_server, rate=rate, burst=burst) as limiter:
        for gap_s in data.draw(gaps(rate)):
            clock.advance(gap_s)
            exact.fill(Fraction(clock.now_us, 10**6))
            exact.check(await limiter.take(client))


@pytest.mark.parametrize("rate", [0.1, 0.3, 3.0, 7.0, 49.0])
async def test_whole_burst_is_allowed_despite_rounding(server: RedisServer, clock: ServerClock, rate: float) -> None:
    async with limiting(server, rate=rate, burst=100) as limiter:
        assert [(await limiter.take("a")).remaining for _ in range(100)] == list(reversed(range(100)))
        assert not (await limiter.take("a")).allowed


async def test_several_limiters_allow_at_most_burst_and_rate_by_the_servers_clock(server: RedisServer) -> None:
    rate, burst = 200.0, 50
    limiters = [RedisLimiter(rate, burst, url=server.url) for _ in range(4)]
    start_s = server.now_s()
    each = await asyncio.gather(*[taken(limiter, "a", times=500) for limiter in limiters])
    elapsed_s = server.now_s() - start_s
    allowed = sum(sum(one) for one in each)
    for limiter in limiters:
        await limiter.close()

    assert burst <= allowed <= burst + rate * elapsed_s + 1


async def test_only_the_servers_clock_is_used(
    server: RedisServer, clock: ServerClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with limiting(server) as limiter:
        await taken(limiter, "a", times=3)
        monkeypatch.setattr("time.time", lambda: 9e9)
        assert await taken(limiter, "a", times=1) == [False]
        monkeypatch.undo()
        clock.advance(0.25)
        assert await taken(limiter, "a", times=1) == [True]


async def test_the_servers_time_is_in_microseconds(server: RedisServer) -> None:
    before_s = server.now_s()
    now_us = server.admin.eval(f"return {SERVER_TIME}", 0)

    assert before_s * 1e6 - 1 <= now_us <= server.now_s() * 1e6 + 1


async def test_bucket_expires_a_second_after_it_is_full(server: RedisServer, limiter: RedisLimiter) -> None:
    await taken(limiter, "a", times=3)

    assert server.admin.keys("tokenfall:*") == [b"tokenfall:limit:a"]
    assert 750 < server.admin.pttl("tokenfall:limit:a") <= 1750


async def test_clock_set_back_does_not_change_used_tokens(limiter: RedisLimiter, clock: ServerClock) -> None:
    await taken(limiter, "a", times=3)
    clock.advance(-3600)

    assert await limiter.take("a") == LimitDecision(False, 0, 0.25, 0.75)
    clock.advance(0.25)
    assert await taken(limiter, "a", times=2) == [True, False]


async def test_used_tokens_of_a_slower_rate_are_limited_to_the_new_burst(
    server: RedisServer, limiter: RedisLimiter, clock: ServerClock
) -> None:
    async with limiting(server, rate=0.001, burst=10) as former:
        await taken(former, "a", times=10)
    await limiter.take("a")
    clock.advance(0.26)

    assert await taken(limiter, "a", times=2) == [True, False]


async def test_script_is_loaded_again_after_redis_lost_it(server: RedisServer, limiter: RedisLimiter) -> None:
    await limiter.take("a")
    server.admin.script_flush()

    assert await taken(limiter, "a", times=3) == [True, True, False]


async def test_any_string_is_a_client(limiter: RedisLimiter) -> None:
    for client in ("", "\udc80", "a" * 100_000, "\0\r\n"):
        assert await taken(limiter, client, times=4) == [True, True, True, False]


async def test_replies_are_never_mixed_up_after_cancellations(server: RedisServer, clock: ServerClock) -> None:
    """Callers are cancelled while their commands run; each client has used a different number of tokens."""
    rate = 1 / 64  # slow, because Redis deletes a bucket by its own clock a second after it is full
    async with limiting(server, rate=rate, burst=100) as limiter:
        for number in range(20):
            await taken(limiter, f"client {number}", times=number)
        for _ in range(50):
            cancelled = [asyncio.create_task(limiter.take("cancelled")) for _ in range(10)]
            await asyncio.sleep(0)
            for task in cancelled:
                task.cancel()
            number = next(FRESH) % 20
            assert (await limiter.take(f"client {number}")).reset_s > number / rate
            assert all(
                isinstance(end, BaseException) for end in await asyncio.gather(*cancelled, return_exceptions=True)
            )
        for number in range(20):
            spent = (await limiter.take(f"client {number}")).reset_s * rate
            assert number + 1 <= round(spent) <= number + 4


async def test_command_completes_if_its_caller_is_cancelled(server: RedisServer, limiter: RedisLimiter) -> None:
    await taken(limiter, "a", times=1)
    connections = server.admin.info("stats")["total_connections_received"]
    caller = asyncio.create_task(limiter.take("a"))
    for _ in range(3):
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert await taken(limiter, "b", times=1) == [True]
    assert await taken(limiter, "a", times=2) == [True, False]
    assert (
        server.admin.info("stats")["total_connections_received"] <= connections + 1
    )  # for two at once; none was closed


async def test_close_waits_for_calls_in_progress(server: RedisServer, limiter: RedisLimiter) -> None:
    caller = asyncio.create_task(limiter.take("a"))
    await asyncio.sleep(0)
    caller.cancel()
    await limiter.close()

    assert caller.cancelled()
    async with limiting(server) as other:
        assert await taken(other, "a", times=3) == [True, True, False]


async def test_check_tests_whether_the_script_can_write(server: RedisServer, limiter: RedisLimiter) -> None:
    await limiter.check()
    server.admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await limiter.check()
    finally:
        server.admin.config_set("maxmemory", 0)
    await limiter.check()


@pytest.mark.parametrize(
    "url",
    [
        "redis://someone:secret@127.0.0.1:1/0",
        "redis://someone:secret@name.invalid:6379/0",
        "unix:///nowhere/secret.sock",
    ],
)
async def test_error_without_a_server_has_no_secret(url: str) -> None:
    limiter = RedisLimiter(RATE, BURST, url=url)
    with pytest.raises(StoreUnavailable) as caught:
        await limiter.take("a")
    assert caught.value.message == "a store of the server cannot be read or written now"
    await limiter.close()


async def test_error_of_a_missing_password_has_no_secret(server: RedisServer) -> None:
    limiter = RedisLimiter(RATE, BURST, url=server.url.replace("unix://", "unix://someone:secret@"))
    with pytest.raises(StoreUnavailable, match="cannot be read") as caught:
        await limiter.check()
    assert caught.value.message == "a store of the server cannot be read or written now"
    await limiter.close()
