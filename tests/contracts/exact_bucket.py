"""A token bucket without rounding, with which the arithmetic of each limiter is compared."""

from fractions import Fraction

import pytest
from hypothesis import strategies as st

from tokenfall.rate_limit import LimitDecision

TIE = Fraction(2, 10**6)
"""Seconds around a deadline within which either decision is valid: limiters round to microseconds and to floats."""

RATES = st.sampled_from([0.01, 0.1, 0.3, 1.0, 3.0, 7.0, 10.0, 99.9, 1000.0])
BURSTS = st.integers(1, 12)


def gaps(rate: float) -> st.SearchStrategy[list[float]]:
    """Pauses between requests; many are exactly the interval of one token."""
    one = st.one_of(st.just(0.0), st.just(1 / rate), st.floats(0, 3).map(lambda intervals: intervals / rate))
    return st.lists(one, max_size=40)


class ExactBucket:
    """A textbook token bucket, computed with fractions."""

    def __init__(self, now_s: float | Fraction, *, rate: float, burst: int) -> None:
        self.rate = Fraction(rate)
        self.burst = burst
        self.tokens = Fraction(burst)
        self.now_s = Fraction(now_s)

    def fill(self, now_s: float | Fraction) -> None:
        self.tokens = min(Fraction(self.burst), self.tokens + (Fraction(now_s) - self.now_s) * self.rate)
        self.now_s = Fraction(now_s)

    def check(self, decision: LimitDecision) -> None:
        """Assert that `decision` is correct for a request now, and take a token if it was allowed."""
        short_s = (1 - self.tokens) / self.rate
        if abs(short_s) > TIE:
            assert decision.allowed == (short_s < 0)
        if decision.allowed:
            self.tokens -= 1
            assert abs(decision.remaining - self.tokens) < 1 + TIE * self.rate
            assert decision.retry_after_s == 0
        else:
            assert decision.retry_after_s == pytest.approx(float(short_s), abs=1e-8)
            assert decision.remaining == 0
        assert decision.reset_s == pytest.approx(float((self.burst - self.tokens) / self.rate), abs=1e-8)


def assert_within_share(allowed: list[Fraction], *, rate: float, burst: int) -> None:
    """Assert that no interval of t seconds contains more than burst + rate x t times of `allowed`."""
    for first, start in enumerate(allowed):
        for last, end in enumerate(allowed[first:], first):
            assert last - first + 1 <= burst + (end - start + TIE) * Fraction(rate)
