import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.limits.shared import OVERFLOW_BUCKETS, WAYS, SharedLimiter, SharedTable

from tests.contracts.exact_bucket import BURSTS, RATES, ExactBucket, assert_within_share, gaps
from tests.contracts.limits import BURST, RATE, LimiterContract, taken
from tests.doubles.clocks import FakeClock
from tests.unit.limits import hammering


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def table() -> Iterator[SharedTable]:
    table = SharedTable(WAYS)
    yield table
    table.close()


class TestSharedLimiter(LimiterContract):
    @pytest.fixture
    def limiter(self, clock: FakeClock, table: SharedTable) -> SharedLimiter:
        return SharedLimiter(RATE, BURST, table=table, now=clock)

    @pytest.fixture
    def advance(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance


@pytest.fixture
def limiter(clock: FakeClock, table: SharedTable) -> SharedLimiter:
    """A limiter of 1 request/s with a burst of 2 and a single set of eight buckets."""
    return SharedLimiter(1.0, 2, table=table, now=clock)


async def fill(limiter: SharedLimiter) -> None:
    """Send one request from each of eight clients, which fills the set."""
    for number in range(WAYS):
        await limiter.take(f"guest {number}")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_two_limiters_on_one_table_share_the_limit(clock: FakeClock, table: SharedTable) -> None:
    one, other = (SharedLimiter(1.0, 2, table=table, now=clock) for _ in range(2))

    assert await taken(one, "a", times=1) + await taken(other, "a", times=2) == [True, True, False]
    assert await taken(one, "a", times=1) == [False]


@pytest.mark.slow
async def test_table_size_is_fixed_for_any_number_of_clients(clock: FakeClock) -> None:
    table = SharedTable()
    limiter = SharedLimiter(0.001, 1, table=table, now=clock)
    for number in range(20_000):  # until the table is full
        await limiter.take(f"client {number}")
    before = resident_bytes()
    for number in range(20_000, 200_000):
        await limiter.take(f"client {number}")

    assert table.size_bytes == 16_384 * 16 + OVERFLOW_BUCKETS * 8
    assert resident_bytes() - before < 2**20
    table.close()


async def test_client_with_used_tokens_is_not_evicted_by_others(limiter: SharedLimiter) -> None:
    assert await taken(limiter, "debtor", times=3) == [True, True, False]
    for number in range(2_000):
        await limiter.take(f"stranger {number}")

    assert await taken(limiter, "debtor", times=1) == [False]


async def test_new_clients_without_room_are_limited_by_the_overflow_buckets(limiter: SharedLimiter) -> None:
    allowed = sum([sum(await taken(limiter, f"stranger {number}", times=1)) for number in range(5_000)])

    assert allowed <= WAYS + 2 * OVERFLOW_BUCKETS


async def test_only_clients_with_a_full_bucket_are_evicted(limiter: SharedLimiter, clock: FakeClock) -> None:
    await taken(limiter, "debtor", times=2)
    for number in range(WAYS - 1):
        await limiter.take(f"guest {number}")
    clock.advance(1.5)
    for number in range(WAYS - 1):  # only slots of the set; in the overflow some would share a bucket
        assert await taken(limiter, f"newcomer {number}", times=3) == [True, True, False]

    assert await taken(limiter, "debtor", times=2) == [True, False]


async def test_client_in_an_overflow_bucket_is_limited(limiter: SharedLimiter) -> None:
    await fill(limiter)

    assert await taken(limiter, "newcomer", times=4) == [True, True, False, False]


async def test_leaving_the_overflow_bucket_gives_no_second_burst(limiter: SharedLimiter, clock: FakeClock) -> None:
    await fill(limiter)
    assert await taken(limiter, "newcomer", times=3) == [True, True, False]
    clock.advance(1.0)  # the eight buckets are full again, so they are evicted; the new client has one request again

    assert await taken(limiter, "newcomer", times=3) == [True, False, False]


def test_clients_have_other_sets_in_each_table() -> None:
    tables = [SharedTable(1024) for _ in range(2)]
    places = [[table.place(f"client {number}").ways for number in range(64)] for table in tables]

    assert places[0] != places[1]
    for table in tables:
        table.close()


def test_clients_are_spread_over_all_sets() -> None:
    table = SharedTable(1024)
    places = [table.place(f"client {number}") for number in range(20_000)]

    assert {place.ways for place in places} == set(range(0, 2048, 16))
    assert {place.overflow for place in places} == set(range(2048, 2048 + OVERFLOW_BUCKETS))
    assert len({place.fingerprint for place in places}) == 20_000
    table.close()


async def test_any_string_is_accepted_as_a_client(limiter: SharedLimiter) -> None:
    for client in ("", "\udc80", "a" * 100_000, "\0"):
        assert await taken(limiter, client, times=3) == [True, True, False]


@pytest.mark.parametrize("slots", [0, 4, 12])
def test_table_size_must_be_a_multiple_of_the_ways(slots: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        SharedTable(slots)


@given(st.data(), RATES, BURSTS, st.sampled_from([1.0, 12345.678, 2_000_000.0]))
async def test_limiter_agrees_with_an_exact_token_bucket(
    data: st.DataObject, rate: float, burst: int, start_s: float
) -> None:
    clock = FakeClock(start_s)
    table = SharedTable(WAYS)
    limiters = [SharedLimiter(rate, burst, table=table, now=clock) for _ in range(2)]
    exact = ExactBucket(start_s, rate=rate, burst=burst)
    for turn, gap_s in enumerate(data.draw(gaps(rate))):
        clock.advance(gap_s)
        exact.fill(clock())
        exact.check(await limiters[turn % 2].take("a"))
    table.close()


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5])), max_size=60))
async def test_never_more_than_burst_and_rate_with_any_number_of_clients(requests: list[tuple[int, float]]) -> None:
    clock = FakeClock()
    table = SharedTable(WAYS)
    limiter = SharedLimiter(1.0, 2, table=table, now=clock)
    allowed: dict[int, list[Fraction]] = {}
    for client, pause_s in requests:
        clock.advance(pause_s)
        if (await limiter.take(str(client))).allowed:
            allowed.setdefault(client, []).append(Fraction(clock()))
    for times in allowed.values():
        assert_within_share(times, rate=1.0, burst=2)
    table.close()


def program(*arguments: str) -> Any:
    """The output of the program `hammering`."""
    done = subprocess.run(
        [sys.executable, hammering.__file__, *arguments], capture_output=True, timeout=25, check=True, text=True
    )
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "rate"), [("fast", 100.0), ("fast", 50_000.0), ("slow", 200.0)])
def test_two_processes_share_one_limit(mode: str, rate: float) -> None:
    figures = program(mode, str(rate))

    assert hammering.BURST <= sum(figures["each"]) <= hammering.BURST + rate * figures["elapsed_s"]


@pytest.mark.slow
def test_killed_worker_does_not_block_other_processes() -> None:
    assert min(program("killed", "50")["allowed"]) > 0
