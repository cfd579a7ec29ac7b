"""Timing of tokens. Pure and, with a seed, reproducible.

A schedule is an endless iterator of gaps in seconds: the first is the time to the first token, each later one the time
since the token before it.
"""

from __future__ import annotations

from itertools import chain, repeat
from math import log, sqrt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tokenfall.simulator.values import Length, Spread


def schedule(ttft: Spread | None, gap: Spread, *, random: Random) -> Iterator[float]:
    """The gaps of one stream. Without `ttft` the first token comes after one gap."""
    return chain((draw(ttft or gap, random),), draws(gap, random))


def draw(spread: Spread, random: Random) -> float:
    """One random time, seconds: lognormal with the mean and coefficient of variation of `spread`."""
    return next(draws(spread, random))


def draws(spread: Spread, random: Random) -> Iterator[float]:
    """Endless random times: lognormal; mean m and variation c give sigma^2 = ln(1 + c^2), mu = ln(m) - sigma^2 / 2."""
    if spread.cv == 0 or spread.mean_s == 0:
        return repeat(spread.mean_s)
    variance = log(1 + spread.cv**2)
    mu, sigma = log(spread.mean_s) - variance / 2, sqrt(variance)
    lognormal = random.lognormvariate
    return (lognormal(mu, sigma) for _ in repeat(None))


def response_length(length: Length, random: Random | None) -> int:
    """Number of tokens of one response. `random` may be None if `length` is a single number."""
    if random is None or length.least == length.most:
        return length.least
    return random.randint(length.least, length.most)
