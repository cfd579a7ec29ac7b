import asyncio
import logging
from collections.abc import Callable

import pytest

from tokenfall.errors import StoreUnavailable
from tokenfall.limits.fallback import RETRY_S, FallbackLimiter
from tokenfall.limits.memory import MemoryLimiter
from tokenfall.rate_limit import LimitDecision

from tests.contracts.limits import BURST, RATE, LimiterContract, taken
from tests.doubles.clocks import FakeClock


class Remote(MemoryLimiter):
    """A remote limiter that fails on demand and counts its calls."""

    def __init__(self, rate: float, burst: int, *, now: Callable[[], float]) -> None:
        super().__init__(rate, burst, now=now)
        self.fails = False
        self.take_count = 0
        self.check_count = 0
        self.closed = False
        self.may_respond = asyncio.Event()
        self.may_respond.set()

    async def take(self, client: str) -> LimitDecision:
        self.take_count += 1
        await self._respond()
        return await super().take(client)

    async def check(self) -> None:
        self.check_count += 1
        await self._respond()

    async def close(self) -> None:
        self.closed = True

    async def _respond(self) -> None:
        await self.may_respond.wait()
        if self.fails:
            raise StoreUnavailable("away")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def remote(clock: FakeClock) -> Remote:
    return Remote(RATE, BURST, now=clock)


@pytest.fixture
def limiter(remote: Remote, clock: FakeClock) -> FallbackLimiter:
    return FallbackLimiter(remote, MemoryLimiter(RATE, BURST, now=clock), now=clock)


async def run_ready_tasks() -> None:
    """Let all ready tasks run."""
    for _ in range(5):
        await asyncio.sleep(0)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


WENT = ("WARNING", "Redis for rate limits is unavailable; each process applies its own limits")
CAME = ("INFO", "Redis for rate limits is available again; all processes share the limits")


class TestHealthy(LimiterContract):
    @pytest.fixture
    def limiter(self, remote: Remote, clock: FakeClock) -> FallbackLimiter:
        return FallbackLimiter(remote, MemoryLimiter(99.0, 99, now=clock), now=clock)

    @pytest.fixture
    def advance(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance


class TestFailing(LimiterContract):
    @pytest.fixture
    def limiter(self, remote: Remote, clock: FakeClock) -> FallbackLimiter:
        remote.fails = True
        return FallbackLimiter(remote, MemoryLimiter(RATE, BURST, now=clock), now=clock)

    @pytest.fixture
    def advance(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance


async def test_request_during_which_the_primary_fails_is_decided_locally(
    limiter: FallbackLimiter, remote: Remote
) -> None:
    remote.fails = True

    assert await limiter.take("a") == LimitDecision(True, 2, 0.0, 0.25)
    assert limiter.degraded


async def test_failed_primary_is_not_used_again_at_once(limiter: FallbackLimiter, remote: Remote) -> None:
    remote.fails = True
    await taken(limiter, "a", times=100)
    await run_ready_tasks()

    assert (remote.take_count, remote.check_count) == (1, 0)


async def test_requests_are_limited_while_the_primary_fails(limiter: FallbackLimiter, remote: Remote) -> None:
    remote.fails = True

    assert await taken(limiter, "a", times=50) == [True] * 3 + [False] * 47


async def test_one_check_at_a_time_runs_in_the_background(
    limiter: FallbackLimiter, remote: Remote, clock: FakeClock
) -> None:
    remote.fails = True
    await limiter.take("a")
    clock.advance(1.0)
    remote.may_respond.clear()
    async with asyncio.timeout(1):
        for _ in range(10):
            await limiter.take("a")
            await run_ready_tasks()
            clock.advance(10)

    assert (remote.take_count, remote.check_count) == (1, 1)
    await limiter.close()


async def test_failed_check_is_repeated_only_after_the_retry_interval(
    limiter: FallbackLimiter, remote: Remote, clock: FakeClock
) -> None:
    remote.fails = True
    await limiter.take("a")
    checks = []
    for pause_s in (0.5, 0.5, 0.9, 0.1, 0.5, 0.5):
        clock.advance(pause_s)
        await limiter.take("a")
        await run_ready_tasks()
        checks.append(remote.check_count)

    assert checks == [0, 1, 1, 2, 2, 3]
    assert limiter.degraded


async def test_primary_is_used_again_after_a_successful_check(
    limiter: FallbackLimiter, remote: Remote, clock: FakeClock
) -> None:
    remote.fails = True
    await limiter.take("a")
    remote.fails = False
    clock.advance(1.0)
    await limiter.take("a")
    await run_ready_tasks()
    assert not limiter.degraded
    await limiter.take("a")

    assert (remote.take_count, remote.check_count) == (2, 1)


async def test_each_switch_is_logged_once(
    limiter: FallbackLimiter, remote: Remote, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await limiter.take("a")
    remote.fails = True
    remote.may_respond.clear()
    requests = asyncio.gather(*[limiter.take("a") for _ in range(10)])
    await run_ready_tasks()
    remote.may_respond.set()
    await requests
    for _ in range(5):
        clock.advance(1.0)
        await limiter.take("a")
        await run_ready_tasks()
    assert lines(caplog) == [WENT]

    remote.fails = False
    clock.advance(1.0)
    await limiter.take("a")
    await run_ready_tasks()
    await limiter.take("a")
    assert lines(caplog) == [WENT, CAME]


async def test_close_cancels_the_check_and_closes_the_primary(
    limiter: FallbackLimiter, remote: Remote, clock: FakeClock
) -> None:
    remote.fails = True
    await limiter.take("a")
    clock.advance(1.0)
    remote.may_respond.clear()
    await limiter.take("a")
    await run_ready_tasks()
    await limiter.close()

    assert remote.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelled_request_is_not_a_failure(limiter: FallbackLimiter, remote: Remote) -> None:
    remote.may_respond.clear()
    caller = asyncio.create_task(limiter.take("a"))
    await run_ready_tasks()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert not limiter.degraded


async def test_check_fails_while_degraded_and_starts_the_background_check(
    limiter: FallbackLimiter, remote: Remote, clock: FakeClock
) -> None:
    await limiter.check()
    remote.fails = True
    await limiter.take("a")
    remote.fails = False
    clock.advance(1.0)
    with pytest.raises(StoreUnavailable):
        await limiter.check()
    await run_ready_tasks()

    await limiter.check()
    assert (remote.take_count, remote.check_count) == (1, 1)


async def test_each_failed_take_and_check_of_the_primary_is_counted(remote: Remote, clock: FakeClock) -> None:
    failures: list[str] = []
    local = MemoryLimiter(RATE, BURST, now=clock)
    limiter = FallbackLimiter(remote, local, now=clock, failed=lambda: failures.append("one"))
    await limiter.take("a")
    assert failures == []

    remote.fails = True
    await limiter.take("a")
    assert len(failures) == 1
    await limiter.take("a")  # decided locally, without a call of the primary
    assert len(failures) == 1
    clock.advance(RETRY_S)
    await limiter.take("a")
    await run_ready_tasks()
    assert len(failures) == 2
