from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.limits.bucket import spend

from tests.contracts.exact_bucket import BURSTS, RATES, ExactBucket, assert_within_share, gaps

STARTS = st.sampled_from([0.0, 1.0, 12345.678, 2_000_000.0])


@given(st.data(), RATES, BURSTS, STARTS)
def test_limiter_agrees_with_an_exact_token_bucket(
    data: st.DataObject, rate: float, burst: int, start_s: float
) -> None:
    now_s, tat_s = start_s, 0.0
    exact = ExactBucket(now_s, rate=rate, burst=burst)
    for gap_s in data.draw(gaps(rate)):
        now_s += gap_s
        exact.fill(now_s)
        decision, after_s = spend(tat_s, now_s, rate=rate, burst=burst)
        exact.check(decision)
        assert decision.allowed or after_s == tat_s
        tat_s = after_s


@given(st.data(), RATES, BURSTS, STARTS)
def test_never_more_than_burst_and_rate_in_any_interval(
    data: st.DataObject, rate: float, burst: int, start_s: float
) -> None:
    now_s, tat_s = start_s, 0.0
    allowed: list[Fraction] = []
    for gap_s in data.draw(gaps(rate)):
        now_s += gap_s
        decision, tat_s = spend(tat_s, now_s, rate=rate, burst=burst)
        if decision.allowed:
            allowed.append(Fraction(now_s))
    assert_within_share(allowed, rate=rate, burst=burst)


@pytest.mark.parametrize("rate", [0.1, 0.3, 3.0, 7.0, 49.0, 1000.0])
def test_rounding_does_not_refuse_the_last_request_of_a_burst(rate: float) -> None:
    now_s, tat_s = 12345.1, 0.0
    for remaining in reversed(range(100)):
        decision, tat_s = spend(tat_s, now_s, rate=rate, burst=100)
        assert (decision.allowed, decision.remaining) == (True, remaining)

    assert not spend(tat_s, now_s, rate=rate, burst=100)[0].allowed
