"""Rate limits while Redis fails and recovers. (L4)"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tokenfall.errors import StoreUnavailable
from tokenfall.limits.fallback import FallbackLimiter
from tokenfall.limits.memory import MemoryLimiter
from tokenfall.limits.redis import RedisLimiter
from tokenfall.rate_limit import LimitDecision

from tests.contracts.limits import taken
from tests.limits_on_redis.conftest import RedisServer

RATE = 0.001
BURST = 5
BACK_TIMEOUT_S = 10.0


class CountingLimiter(RedisLimiter):
    """Counts the calls of `take`."""

    take_count = 0

    async def take(self, client: str) -> LimitDecision:
        self.take_count += 1
        return await super().take(client)


@pytest.fixture
async def primary(own_server: RedisServer) -> AsyncIterator[CountingLimiter]:
    primary = CountingLimiter(RATE, BURST, url=own_server.url)
    yield primary
    await primary.close()


@pytest.fixture
async def limiter(primary: CountingLimiter) -> AsyncIterator[FallbackLimiter]:
    local = MemoryLimiter(RATE, BURST, now=time.monotonic)
    limiter = FallbackLimiter(primary, local, now=time.monotonic, retry_s=0.1)
    yield limiter
    await limiter.close()


async def timed(take: Awaitable[object]) -> float:
    """The duration in seconds."""
    start_s = time.monotonic()
    await take
    return time.monotonic() - start_s


async def until_back(limiter: FallbackLimiter) -> None:
    """Send requests until the primary limiter is in use again."""
    async with asyncio.timeout(BACK_TIMEOUT_S):
        while limiter.degraded:
            await limiter.take("another")
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("outage", [RedisServer.kill, RedisServer.freeze], ids=["killed", "frozen"])
async def test_local_limiter_is_used_at_once(
    own_server: RedisServer, primary: CountingLimiter, limiter: FallbackLimiter, outage: Callable[[RedisServer], None]
) -> None:
    assert await taken(limiter, "a", times=6) == [True] * 5 + [False]
    outage(own_server)

    assert await timed(limiter.take("b")) < 0.5
    assert limiter.degraded
    before = primary.take_count
    assert await timed(taken(limiter, "b", times=200)) < 0.1
    assert await taken(limiter, "b", times=1) == [False]
    assert primary.take_count == before


async def test_failed_call_is_not_repeated(tmp_path: Path) -> None:
    connections = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(hang_up, tmp_path / "redis.sock"):
        limiter = RedisLimiter(RATE, BURST, url=f"unix://{tmp_path}/redis.sock")
        with pytest.raises(StoreUnavailable):
            await limiter.take("a")
        await limiter.close()

    assert connections == 1


async def test_requests_in_progress_when_redis_freezes_get_decisions_in_time(
    own_server: RedisServer, limiter: FallbackLimiter
) -> None:
    await limiter.take("a")
    own_server.freeze()
    crowd = [limiter.take("a") for _ in range(200)]

    assert await timed(asyncio.gather(*crowd)) < 1.0


async def test_restarted_redis_is_used_again(
    own_server: RedisServer, primary: CountingLimiter, limiter: FallbackLimiter
) -> None:
    await limiter.take("a")
    own_server.kill()
    await limiter.take("a")
    before = primary.take_count
    own_server.start()
    await until_back(limiter)

    assert await taken(limiter, "c", times=6) == [True] * 5 + [False]
    assert primary.take_count >= before + 6
    assert own_server.admin.exists("tokenfall:limit:c")


async def test_resumed_redis_still_has_the_used_tokens(own_server: RedisServer, limiter: FallbackLimiter) -> None:
    await taken(limiter, "a", times=5)
    own_server.freeze()
    await limiter.take("b")
    own_server.thaw()
    await until_back(limiter)

    assert await taken(limiter, "a", times=1) == [False]


async def test_limits_apply_if_redis_never_ran(primary: CountingLimiter, own_server: RedisServer) -> None:
    own_server.kill()
    limiter = FallbackLimiter(primary, MemoryLimiter(RATE, BURST, now=time.monotonic), now=time.monotonic)

    assert await taken(limiter, "a", times=7) == [True] * 5 + [False] * 2
