"""L4: Redis goes away in the middle, and comes back; the process that limits goes on all the time."""

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


class Counting(RedisLimiter):
    """Counts who asks it for a verdict."""

    takes = 0

    async def take(self, client: str) -> LimitDecision:
        self.takes += 1
        return await super().take(client)


@pytest.fixture
async def primary(own_server: RedisServer) -> AsyncIterator[Counting]:
    primary = Counting.from_url(RATE, BURST, url=own_server.url)
    yield primary
    await primary.close()


@pytest.fixture
async def limiter(primary: Counting) -> AsyncIterator[FallbackLimiter]:
    local = MemoryLimiter(RATE, BURST, now=time.monotonic)
    limiter = FallbackLimiter(primary, local, now=time.monotonic, retry_s=0.1)
    yield limiter
    await limiter.close()


async def timed(take: Awaitable[object]) -> float:
    """Seconds that it took."""
    start_s = time.monotonic()
    await take
    return time.monotonic() - start_s


async def until_back(limiter: FallbackLimiter) -> None:
    """Take, as a client would, until the primary is asked again."""
    async with asyncio.timeout(BACK_TIMEOUT_S):
        while limiter.degraded:
            await limiter.take("somebody")
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("outage", [RedisServer.kill, RedisServer.freeze], ids=["killed", "frozen"])
async def test_the_local_limiter_takes_over_at_once(
    own_server: RedisServer, primary: Counting, limiter: FallbackLimiter, outage: Callable[[RedisServer], None]
) -> None:
    assert await taken(limiter, "a", times=6) == [True] * 5 + [False]
    outage(own_server)

    assert await timed(limiter.take("b")) < 0.5
    assert limiter.degraded
    takes = primary.takes
    assert await timed(taken(limiter, "b", times=200)) < 0.1
    assert await taken(limiter, "b", times=1) == [False]
    assert primary.takes == takes


async def test_nothing_is_tried_twice(tmp_path: Path) -> None:
    connections = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(hang_up, tmp_path / "redis.sock"):
        limiter = RedisLimiter.from_url(RATE, BURST, url=f"unix://{tmp_path}/redis.sock")
        with pytest.raises(StoreUnavailable):
            await limiter.take("a")
        await limiter.close()

    assert connections == 1


async def test_requests_in_progress_when_redis_freezes_are_answered_in_time(
    own_server: RedisServer, limiter: FallbackLimiter
) -> None:
    await limiter.take("a")
    own_server.freeze()
    crowd = [limiter.take("a") for _ in range(200)]

    assert await timed(asyncio.gather(*crowd)) < 1.0


async def test_a_restarted_server_is_used_again(
    own_server: RedisServer, primary: Counting, limiter: FallbackLimiter
) -> None:
    await limiter.take("a")
    own_server.kill()
    await limiter.take("a")
    takes = primary.takes
    own_server.start()
    await until_back(limiter)

    assert await taken(limiter, "c", times=6) == [True] * 5 + [False]
    assert primary.takes >= takes + 6
    assert own_server.admin.exists("tokenfall:limit:c")


async def test_resumed_redis_still_has_the_used_tokens(own_server: RedisServer, limiter: FallbackLimiter) -> None:
    await taken(limiter, "a", times=5)
    own_server.freeze()
    await limiter.take("b")
    own_server.thaw()
    await until_back(limiter)

    assert await taken(limiter, "a", times=1) == [False]


async def test_a_server_that_was_never_there_limits_no_less(primary: Counting, own_server: RedisServer) -> None:
    own_server.kill()
    limiter = FallbackLimiter(primary, MemoryLimiter(RATE, BURST, now=time.monotonic), now=time.monotonic)

    assert await taken(limiter, "a", times=7) == [True] * 5 + [False] * 2
