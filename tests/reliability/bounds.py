"""The upper confidence bound of a failure rate."""

from math import comb

CONFIDENCE = 0.95


def upper_bound(failures: int, trials: int) -> float:
    """The exact (Clopper-Pearson) one-sided upper bound of the failure rate with 95 % confidence.

    With no failure it is about 3 / `trials` (rule of three).
    """
    if failures >= trials:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        if _at_most(failures, trials, rate) > 1 - CONFIDENCE:
            low = rate
        else:
            high = rate
    return high


def _at_most(failures: int, trials: int, rate: float) -> float:
    """The probability of at most `failures` failures: the cumulative binomial distribution."""
    return sum(comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(failures + 1))


def percent(rate: float) -> str:
    """Format a rate with two significant digits, for example `0.35 %`."""
    return f"{float(f'{100 * rate:.2g}'):g} %"
