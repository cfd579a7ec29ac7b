from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.limits.bucket import spend

TIE = Fraction(5, 10**9)
"""Seconds within which floats may round a tie either way; what `spend` grants is a nanosecond."""

RATES = st.sampled_from([0.01, 0.1, 0.3, 1.0, 3.0, 7.0, 10.0, 99.9, 1000.0])
BURSTS = st.integers(1, 12)
STARTS = st.sampled_from([0.0, 1.0, 12345.678, 2_000_000.0])


def gaps(rate: float) -> st.SearchStrategy[list[float]]:
    """Pauses between requests, many of them exactly as long as a request takes to come back."""
    one = st.one_of(st.just(0.0), st.just(1 / rate), st.floats(0, 3).map(lambda intervals: intervals / rate))
    return st.lists(one, max_size=40)


class ExactBucket:
    """The textbook's token bucket, in fractions."""

    def __init__(self, now_s: float, *, rate: float, burst: int) -> None:
        self.rate = Fraction(rate)
        self.burst = burst
        self.tokens = Fraction(burst)
        self.now_s = Fraction(now_s)

    def fill(self, now_s: float) -> None:
        self.tokens = min(Fraction(self.burst), self.tokens + (Fraction(now_s) - self.now_s) * self.rate)
        self.now_s = Fraction(now_s)


@given(st.data(), RATES, BURSTS, STARTS)
def test_it_agrees_with_an_exact_token_bucket(data: st.DataObject, rate: float, burst: int, start_s: float) -> None:
    now_s, tat_s = start_s, 0.0
    exact = ExactBucket(now_s, rate=rate, burst=burst)
    for gap_s in data.draw(gaps(rate)):
        now_s += gap_s
        exact.fill(now_s)
        spent = spend(tat_s, now_s, rate=rate, burst=burst)
        short_s = (1 - exact.tokens) / exact.rate
        if abs(short_s) > TIE:
            assert spent.allowed == (short_s < 0)
        if spent.allowed:
            exact.tokens -= 1
            assert abs(spent.remaining - exact.tokens) < 1 + TIE * exact.rate
            assert spent.retry_after_s == 0
        else:
            assert spent.retry_after_s == pytest.approx(float(short_s), abs=1e-8)
            assert (spent.tat_s, spent.remaining) == (tat_s, 0)
        assert spent.reset_s == pytest.approx(float((burst - exact.tokens) / exact.rate), abs=1e-8)
        tat_s = spent.tat_s


@given(st.data(), RATES, BURSTS, STARTS)
def test_never_more_than_burst_and_rate_in_any_time(
    data: st.DataObject, rate: float, burst: int, start_s: float
) -> None:
    now_s, tat_s = start_s, 0.0
    allowed: list[Fraction] = []
    for gap_s in data.draw(gaps(rate)):
        now_s += gap_s
        spent = spend(tat_s, now_s, rate=rate, burst=burst)
        tat_s = spent.tat_s
        if spent.allowed:
            allowed.append(Fraction(now_s))
    for first, start in enumerate(allowed):
        for last, end in enumerate(allowed[first:], first):
            assert last - first + 1 <= burst + (end - start + TIE) * Fraction(rate)


@pytest.mark.parametrize("rate", [0.1, 0.3, 3.0, 7.0, 49.0, 1000.0])
def test_the_last_of_a_burst_is_not_lost_to_rounding(rate: float) -> None:
    now_s, tat_s = 12345.1, 0.0
    for left in reversed(range(100)):
        spent = spend(tat_s, now_s, rate=rate, burst=100)
        assert (spent.allowed, spent.remaining) == (True, left)
        tat_s = spent.tat_s

    assert not spend(tat_s, now_s, rate=rate, burst=100).allowed
