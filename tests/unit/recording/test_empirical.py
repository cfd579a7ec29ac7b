from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenfall.recording.empirical import Empirical, Quantiles, decode, encode, quantiles

DRAWS = 20_000
SAMPLES: dict[str, Callable[[Random], float]] = {
    "lognormal": lambda random: random.lognormvariate(-3.5, 0.6),
    "two modes": lambda random: random.gauss(0.01, 0.001) if random.random() < 0.6 else random.gauss(0.2, 0.01),
    "bursts, half of them without a gap": lambda random: 0.0 if random.random() < 0.5 else random.expovariate(30),
    "one value": lambda random: 0.02,
}


def sample(kind: str, size: int = 5_000) -> list[float]:
    random = Random(kind)
    return [max(0.0, SAMPLES[kind](random)) for _ in range(size)]


def largest_distance(draws: Sequence[float], source: Sequence[float]) -> float:
    """The Kolmogorov-Smirnov distance of two samples."""
    one, other = sorted(draws), sorted(source)
    return max(
        abs(side(one, value) / len(one) - side(other, value) / len(other))
        for value in {*one, *other}
        for side in (bisect_left, bisect_right)
    )


@pytest.mark.parametrize("kind", ["lognormal", "two modes"])
def test_draws_are_distributed_as_the_sample_was(kind: str) -> None:
    source = sample(kind)
    found, random = quantiles(source), Random(1)

    # 1.63 / sqrt(n) is the one per cent bound of the draws; between two quantiles, a line stands for the sample.
    assert largest_distance([found.draw(random) for _ in range(DRAWS)], source) < 1.63 / DRAWS**0.5 + 0.005


@pytest.mark.slow
def test_share_of_equal_values_is_preserved() -> None:
    source, random = sample("bursts, half of them without a gap"), Random(2)
    drawn = [quantiles(source).draw(random) for _ in range(2_000)]

    assert abs(sum(each == 0 for each in drawn) / 2_000 - source.count(0.0) / len(source)) < 0.05


def test_constant_sample_gives_constant_draws() -> None:
    found, random = quantiles(sample("one value", 7)), Random(3)

    assert {found.draw(random) for _ in range(100)} == {0.02}


@settings(max_examples=200)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=50), st.integers(0, 99))
def test_quantiles_of_any_sample_are_within_it_and_round_trip(values: list[float], seed: int) -> None:
    found = quantiles(values)
    drawn = found.draw(Random(seed))

    assert found.count == len(values)
    assert found.at(0) == min(values)
    assert found.at(1) == max(values)
    assert min(values) * (1 - 1e-9) <= drawn <= max(values) * (1 + 1e-9)
    assert decode(encode(Empirical(found, found))) == Empirical(found, found)


def test_values_between_two_quantiles_are_interpolated_linearly() -> None:
    found = quantiles([1.0, 2.0, 4.0])

    assert [found.at(place) for place in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([1, 1.5, 2, 3, 4])
    assert found.at(0.9975) == pytest.approx(3.99)


def test_schedule_begins_with_the_ttft_and_is_the_same_for_the_same_seed() -> None:
    profile = Empirical(ttft=quantiles([0.5]), gap=quantiles([0.01, 0.02]))
    first, *gaps = islice(profile.schedule(Random(7)), 50)

    assert first == 0.5
    assert all(0.01 <= gap <= 0.02 for gap in gaps)
    assert len(set(gaps)) > 40
    assert [first, *gaps] == list(islice(profile.schedule(Random(7)), 50))


@pytest.mark.parametrize(
    ("places", "seconds", "what"),
    [
        ((0.0, 1.0), (1.0,), "as many seconds"),
        ((0.0,), (1.0,), "as many seconds"),
        ((0.1, 1.0), (1.0, 2.0), "from 0 to 1"),
        ((0.0, 0.9), (1.0, 2.0), "from 0 to 1"),
        ((0.0, 0.5, 0.5, 1.0), (1.0, 1.0, 1.0, 1.0), "must increase"),
        ((0.0, 1.0), (2.0, 1.0), "must not decrease"),
        ((0.0, 1.0), (-1.0, 1.0), "or be negative"),
        ((0.0, 1.0), (1.0, float("inf")), "finite"),
    ],
)
def test_invalid_quantiles_are_refused(places: tuple[float, ...], seconds: tuple[float, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Quantiles(1, places, seconds)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "truncated"),
        (b"[1]", "Expected `object`"),
        (b'{"format":"x"}', "missing required field"),
        (encode(Empirical(quantiles([1.0]), quantiles([1.0]))).replace(b"profile-1", b"profile-9"), "profile-9"),
        (encode(Empirical(quantiles([1.0]), quantiles([1.0]))).replace(b"0.999", b"0.1"), "must increase"),
        (b"\xff", "ormed"),
    ],
)
def test_invalid_profile_file_is_refused(content: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        decode(content)


def test_tail_has_more_quantiles() -> None:
    found = quantiles([float(number) for number in range(1_001)])

    assert [*found.seconds[:2], *found.seconds[-4:]] == [0, 10, 990, 995, 999, 1_000]
