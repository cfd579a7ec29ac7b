"""The token bucket without rounding, to which every limiter's arithmetic is held."""

from fractions import Fraction

import pytest
from hypothesis import strategies as st

from tokenfall.rate_limit import LimitDecision

TIE = Fraction(2, 10**6)
"""Seconds within which a limiter may decide either way: what `spend` grants is a microsecond, and floats round."""

RATES = st.sampled_from([0.01, 0.1, 0.3, 1.0, 3.0, 7.0, 10.0, 99.9, 1000.0])
BURSTS = st.integers(1, 12)


def gaps(rate: float) -> st.SearchStrategy[list[float]]:
    """Pauses between requests, many of them exactly as long as a request takes to come back."""
    one = st.one_of(st.just(0.0), st.just(1 / rate), st.floats(0, 3).map(lambda intervals: intervals / rate))
    return st.lists(one, max_size=40)


class ExactBucket:
    """The textbook's token bucket, in fractions."""

    def __init__(self, now_s: float | Fraction, *, rate: float, burst: int) -> None:
        self.rate = Fraction(rate)
        self.burst = burst
        self.tokens = Fraction(burst)
        self.now_s = Fraction(now_s)

    def fill(self, now_s: float | Fraction) -> None:
        self.tokens = min(Fraction(self.burst), self.tokens + (Fraction(now_s) - self.now_s) * self.rate)
        self.now_s = Fraction(now_s)

    def judge(self, decision: LimitDecision) -> None:
        """Assert that `decision` is right for a request now, and spend what it allowed."""
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
    """No two moments had more than burst + rate x t requests `allowed` between them."""
    for first, start in enumerate(allowed):
        for last, end in enumerate(allowed[first:], first):
            assert last - first + 1 <= burst + (end - start + TIE) * Fraction(rate)
