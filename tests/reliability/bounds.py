"""Bounds of a failure rate, from a number of failures."""

from math import comb

CONFIDENCE = 0.95


def upper_bound(failures: int, tries: int) -> float:
    """The one-sided upper bound of Clopper and Pearson, exact: the rate of failures is below it with 95 % confidence.

    Without failures it is about 3 / `tries`, the rule of three.
    """
    if failures >= tries:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        if _at_most(failures, tries, rate) > 1 - CONFIDENCE:
            low = rate
        else:
            high = rate
    return high


def _at_most(failures: int, tries: int, rate: float) -> float:
    """The probability of so few failures."""
    return sum(comb(tries, k) * rate**k * (1 - rate) ** (tries - k) for k in range(failures + 1))


def percent(rate: float) -> str:
    """In two significant digits: `0.35 %`."""
    return f"{float(f'{100 * rate:.2g}'):g} %"
