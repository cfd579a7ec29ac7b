"""The contract of `RateLimiter`. The tests of a limiter inherit the suite and define its fixtures."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tokenfall.ports import RateLimiter
from tokenfall.rate_limit import LimitDecision

RATE = 4.0
BURST = 3
"""Three requests at once, then one per quarter of a second."""


async def taken(limiter: RateLimiter, client: str, *, times: int) -> list[bool]:
    """Whether each of `times` immediate requests is allowed."""
    return [(await limiter.take(client)).allowed for _ in range(times)]


def rounded(decision: LimitDecision) -> LimitDecision:
    """The decision with times rounded to milliseconds."""
    return replace(
        decision, retry_after_s=round(decision.retry_after_s, 3) + 0.0, reset_s=round(decision.reset_s, 3) + 0.0
    )


class LimiterContract:
    """The suite. Every test gets a new limiter with a fake clock."""

    @pytest.fixture
    def limiter(self) -> RateLimiter:
        """A limiter with `RATE` and `BURST`, whose buckets are full."""
        raise NotImplementedError

    @pytest.fixture
    def advance(self) -> Callable[[float], None]:
        """Advances the limiter's clock by seconds."""
        raise NotImplementedError

    async def test_limiter_has_its_rate_and_burst(self, limiter: RateLimiter) -> None:
        assert (limiter.rate, limiter.burst) == (RATE, BURST)

    async def test_new_client_has_exactly_the_burst(self, limiter: RateLimiter) -> None:
        assert await taken(limiter, "a", times=5) == [True, True, True, False, False]

    async def test_decision_has_the_remaining_requests(self, limiter: RateLimiter) -> None:
        assert [(await limiter.take("a")).remaining for _ in range(4)] == [2, 1, 0, 0]

    async def test_allowed_request_has_the_reset_time(self, limiter: RateLimiter) -> None:
        assert [rounded(await limiter.take("a")) for _ in range(2)] == [
            LimitDecision(True, 2, 0.0, 0.25),
            LimitDecision(True, 1, 0.0, 0.5),
        ]

    async def test_refused_request_has_the_retry_time(self, limiter: RateLimiter) -> None:
        await taken(limiter, "a", times=3)

        assert rounded(await limiter.take("a")) == LimitDecision(False, 0, 0.25, 0.75)

    async def test_retry_after_the_retry_time_is_allowed(
        self, limiter: RateLimiter, advance: Callable[[float], None]
    ) -> None:
        await taken(limiter, "a", times=3)
        advance((await limiter.take("a")).retry_after_s)

        assert await taken(limiter, "a", times=2) == [True, False]

    async def test_refused_request_takes_no_token(self, limiter: RateLimiter, advance: Callable[[float], None]) -> None:
        await taken(limiter, "a", times=50)
        advance(0.25)

        assert await taken(limiter, "a", times=2) == [True, False]

    async def test_long_pause_restores_at_most_the_burst(
        self, limiter: RateLimiter, advance: Callable[[float], None]
    ) -> None:
        await taken(limiter, "a", times=3)
        advance(3600)

        assert await taken(limiter, "a", times=4) == [True, True, True, False]

    async def test_clients_have_separate_buckets(self, limiter: RateLimiter) -> None:
        await taken(limiter, "a", times=4)

        assert await taken(limiter, "b", times=4) == [True, True, True, False]

    async def test_client_never_gets_more_than_burst_and_rate_in_a_minute(
        self, limiter: RateLimiter, advance: Callable[[float], None]
    ) -> None:
        allowed = 0
        for _ in range(600):
            allowed += sum(await taken(limiter, "a", times=2))
            advance(0.1)

        assert 60 * RATE <= allowed <= BURST + 60 * RATE
