from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.limits.memory import OVERFLOW_BUCKETS, MemoryLimiter

from tests.contracts.limits import BURST, RATE, LimiterContract, taken
from tests.doubles.clocks import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class TestMemoryLimiter(LimiterContract):
    @pytest.fixture
    def limiter(self, clock: FakeClock) -> MemoryLimiter:
        return MemoryLimiter(RATE, BURST, now=clock)

    @pytest.fixture
    def advance(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance


def small(clock: FakeClock, *, max_clients: int = 2) -> MemoryLimiter:
    """A limiter of 1 request/s with a burst of 2 and room for few clients."""
    return MemoryLimiter(1.0, 2, now=clock, max_clients=max_clients)


async def flood(limiter: MemoryLimiter, clients: int = 5_000) -> int:
    """Send one request from each of many new clients and return the number allowed."""
    return sum([(await limiter.take(f"stranger {number}")).allowed for number in range(clients)])


async def test_client_with_used_tokens_is_not_evicted_by_others(clock: FakeClock) -> None:
    limiter = small(clock)
    assert await taken(limiter, "debtor", times=3) == [True, True, False]
    await flood(limiter)

    assert await taken(limiter, "debtor", times=1) == [False]


@pytest.mark.parametrize("max_clients", [2, 50])
async def test_new_clients_without_room_are_limited_by_the_overflow_buckets(clock: FakeClock, max_clients: int) -> None:
    limiter = small(clock, max_clients=max_clients)

    assert max_clients < await flood(limiter) <= max_clients + 2 * OVERFLOW_BUCKETS


async def test_client_with_a_full_bucket_is_evicted(clock: FakeClock) -> None:
    limiter = small(clock)
    for number in range(2):
        await limiter.take(f"guest {number}")
    clock.advance(1.5)
    await taken(limiter, "newcomer", times=2)

    await flood(limiter)
    clock.advance(1.0)
    await flood(limiter)
    assert await taken(limiter, "newcomer", times=2) == [True, False], "its bucket is not an overflow bucket"


async def test_client_with_used_tokens_stays_when_others_are_evicted(clock: FakeClock) -> None:
    limiter = small(clock)
    await taken(limiter, "debtor", times=2)
    await limiter.take("guest")
    clock.advance(1.5)
    await limiter.take("newcomer")

    assert await taken(limiter, "debtor", times=2) == [True, False]


async def test_client_in_an_overflow_bucket_is_limited(clock: FakeClock) -> None:
    limiter = small(clock, max_clients=1)
    await taken(limiter, "debtor", times=2)

    assert await taken(limiter, "newcomer", times=4) == [True, True, False, False]


async def test_leaving_the_overflow_bucket_gives_no_second_burst(clock: FakeClock) -> None:
    limiter = small(clock, max_clients=1)
    await limiter.take("guest")
    assert await taken(limiter, "newcomer", times=3) == [True, True, False]
    clock.advance(1.0)  # the first bucket is full again, so it is evicted; the new client has one request again

    assert await taken(limiter, "newcomer", times=3) == [True, False, False]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5])), max_size=40))
async def test_never_more_than_burst_and_rate_with_any_number_of_clients(requests: list[tuple[str, float]]) -> None:
    clock = FakeClock()
    limiter = small(clock, max_clients=1)
    allowed: dict[str, list[float]] = {}
    for client, pause_s in requests:
        clock.advance(pause_s)
        if (await limiter.take(client)).allowed:
            allowed.setdefault(client, []).append(clock())
    for times in allowed.values():
        for first, start in enumerate(times):
            for last, end in enumerate(times[first:], first):
                assert last - first + 1 <= 2 + (end - start) + 1e-6


async def test_burst_is_complete_after_a_year_of_uptime() -> None:
    limiter = MemoryLimiter(10.0, 20, now=FakeClock(365 * 86_400.1))

    assert await taken(limiter, "a", times=21) == [True] * 20 + [False]
