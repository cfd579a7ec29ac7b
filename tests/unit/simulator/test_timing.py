from collections import Counter
from collections.abc import Callable
from itertools import islice
from math import erf, log, sqrt
from random import Random

import pytest

from tokenfall.simulator.timing import draw, draws, response_length, schedule
from tokenfall.simulator.values import Length, Spread


def first(count: int, ttft: Spread | None, gap: Spread, *, random: Random | None = None) -> list[float]:
    return list(islice(schedule(ttft, gap, random=random or Random(7)), count))


def test_ttft_replaces_only_the_first_gap() -> None:
    assert first(3, None, Spread(0.02)) == [0.02, 0.02, 0.02]
    assert first(3, Spread(0.3), Spread(0.02)) == [0.3, 0.02, 0.02]


def test_same_seed_gives_the_same_gaps() -> None:
    spreads = Spread(0.3, 0.4), Spread(0.02, 0.4)
    one, two, other = (first(20, *spreads, random=Random(seed)) for seed in (7, 7, 8))

    assert one == two
    assert one != other
    assert len(set(one)) == 20


def test_ttft_and_gaps_vary_independently() -> None:
    ttft, *gaps = first(3, Spread(0.3), Spread(0.02, 0.4))
    assert (ttft, len({*gaps})) == (0.3, 2)
    ttft, *gaps = first(3, Spread(0.3, 0.4), Spread(0.02))
    assert (ttft != 0.3, gaps) == (True, [0.02, 0.02])


def test_zero_time_does_not_vary() -> None:
    assert draw(Spread(0.0, 0.5), Random(7)) == 0.0
    assert draw(Spread(0.3, 0.5), Random(7)) != 0.3


def test_fixed_length_needs_no_random_source() -> None:
    assert response_length(Length(4, 4), None) == 4
    assert response_length(Length(4, 4), Random(7)) == 4
    assert response_length(Length(3, 5), None) == 3


# Distributions: the Kolmogorov-Smirnov distance between the draws and the requested distribution. With n draws it
# exceeds 1.95 / sqrt(n) once in a thousand samples; the seeds are fixed, so the result is constant.

DRAWS = 20_000
CRITICAL = 1.95 / sqrt(DRAWS)


def distance(sample: list[float], below: Callable[[float], float]) -> float:
    """The Kolmogorov-Smirnov distance of `sample` from the distribution function `below`."""
    ordered, size = sorted(sample), len(sample)
    return max(
        max((number + 1) / size - below(value), below(value) - number / size) for number, value in enumerate(ordered)
    )


def lognormal(mean_s: float, cv: float) -> Callable[[float], float]:
    """The textbook distribution function of a lognormal, independent of the tested code."""
    sigma = sqrt(log(1 + cv * cv))
    mu = log(mean_s / sqrt(1 + cv * cv))
    return lambda value: 0.5 * (1 + erf((log(value) - mu) / (sigma * sqrt(2))))


@pytest.mark.parametrize(("mean_s", "cv"), [(0.02, 0.3), (0.3, 0.4), (1.0, 1.0), (5.0, 10.0)])
def test_gaps_are_lognormal(mean_s: float, cv: float) -> None:
    times = first(DRAWS + 1, Spread(0.5), Spread(mean_s, cv), random=Random(7))[1:]

    assert distance(times, lognormal(mean_s, cv)) < CRITICAL


@pytest.mark.parametrize(("mean_s", "cv"), [(0.3, 0.4), (1.0, 2.0)])
def test_times_to_first_token_are_lognormal(mean_s: float, cv: float) -> None:
    dice = Random(7)
    times = [first(1, Spread(mean_s, cv), Spread(0.02, 0.3), random=dice)[0] for _ in range(DRAWS)]

    assert distance(times, lognormal(mean_s, cv)) < CRITICAL


@pytest.mark.parametrize(("mean_s", "cv"), [(0.021, 0.3), (0.02, 0.32), (0.02, 0.28)])
def test_distance_detects_a_slightly_different_distribution(mean_s: float, cv: float) -> None:
    times = list(islice(draws(Spread(0.02, 0.3), Random(7)), DRAWS))

    assert distance(times, lognormal(mean_s, cv)) > CRITICAL


def test_random_length_is_uniform() -> None:
    dice = Random(7)
    lengths = [response_length(Length(80, 200), dice) for _ in range(DRAWS)]
    expected = DRAWS / 121
    chi2 = sum((observed - expected) ** 2 / expected for observed in Counter(lengths).values())

    assert (min(lengths), max(lengths), len(set(lengths))) == (80, 200, 121)
    assert chi2 < 174  # 120 degrees of freedom: exceeded once in a thousand samples
    # the distribution function is a step function; lengths spread uniformly over their step are uniform
    assert distance([each + dice.random() for each in lengths], lambda value: (value - 80) / 121) < CRITICAL
