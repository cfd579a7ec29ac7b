from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.metrics.registry import (
    EXPORTED_BOUNDS_S,
    GAUGES,
    LATENCY_BOUNDS_S,
    MAXIMA,
    METERED_MODELS,
    STEPS,
    Histogram,
    Metrics,
    without_pages,
)

if TYPE_CHECKING:
    from tokenfall.metrics.registry import Snapshot

BUCKET = 2 ** (1 / STEPS)
"""Maximum ratio of the upper to the lower bound of a bucket."""

SLACK = 1 + 1e-9
"""Tolerance for rounding of computed ratios."""

measurable = st.floats(EXPORTED_BOUNDS_S[0], EXPORTED_BOUNDS_S[-1], exclude_min=True)
observations = st.lists(measurable, min_size=1, max_size=200)
shares = st.one_of(st.sampled_from((0.0, 0.5, 0.9, 0.99, 1.0)), st.floats(0.0, 1.0))

LABELS: dict[str, object] = {"requests": ("/chat", 200)}
"""A key for each dict whose keys are not strings."""

BY_NAME = {"upstream_ttft_s"}
"""Dicts of histograms; all others hold counts."""


def all_counted(times: int = 1) -> Metrics:
    """Metrics in which every field differs from its initial value, including future fields."""
    metrics = Metrics()
    for place, name in enumerate(Metrics.__slots__, 1):
        value = getattr(metrics, name)
        if isinstance(value, Histogram):
            value.observe(0.5, place * times)
        elif name in BY_NAME:
            value["model"] = Histogram()
            value["model"].observe(0.5, place * times)
        elif isinstance(value, dict):
            value[LABELS.get(name, "code")] = place * times
        else:
            setattr(metrics, name, place * times)
    return metrics


def observed(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    return histogram


def exact_quantile(values: list[float], share: float) -> float:
    """The exact quantile: the smallest value with at least `share` of the values at or below it."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def test_observation_counts_in_the_first_bound_that_is_not_lower() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.0, 0.1, 0.2, 1.0, 1.1):
        histogram.observe(value)

    assert histogram.counts == [2, 2, 1]
    assert histogram.cumulative() == [2, 4, 5]
    assert histogram.total == 0.0 + 0.1 + 0.2 + 1.0 + 1.1


def test_observation_may_count_several_times_or_zero() -> None:
    histogram = Histogram((0.1, 1.0))
    histogram.observe(0.5, 3)
    histogram.observe(0.5, 0)

    assert (histogram.cumulative(), histogram.total) == ([0, 3, 3], 1.5)


def test_every_nth_bound_is_exactly_an_exported_bound() -> None:
    assert LATENCY_BOUNDS_S[::STEPS] == EXPORTED_BOUNDS_S
    assert len(LATENCY_BOUNDS_S) == STEPS * (len(EXPORTED_BOUNDS_S) - 1) + 1


def test_latency_bounds_increase_by_at_most_a_fifth() -> None:
    ratios = [high / low for low, high in pairwise(LATENCY_BOUNDS_S)]

    assert min(ratios) > 1.18
    assert max(ratios) == pytest.approx(BUCKET)
    assert max(ratios) < 1.2


def test_histograms_share_no_counts() -> None:
    metrics = Metrics()
    metrics.ttft_s.observe(0.1)

    assert sum(metrics.inter_token_s.counts) == sum(Metrics().ttft_s.counts) == 0


# Differences


def test_since_returns_the_difference() -> None:
    histogram = Histogram((0.1, 1.0))
    histogram.observe(0.05, 2)
    histogram.observe(5.0)
    before = histogram.counts.copy()
    assert histogram.since(before).counts == [0, 0, 0]
    histogram.observe(0.05)
    histogram.observe(0.5, 4)
    later = histogram.since(before)

    assert (later.bounds, later.counts, later.total) == ((0.1, 1.0), [1, 4, 0], 0.0)
    assert histogram.counts == [3, 4, 1]


def test_since_is_empty_if_counts_are_missing() -> None:
    histogram = Histogram((1.0,))
    histogram.observe(0.5)

    assert histogram.since([2, 0]).counts == [0, 0]


def test_copy_is_independent() -> None:
    histogram = Histogram((1.0,))
    histogram.observe(0.5)
    copied = histogram.copy()
    histogram.observe(2.0)

    assert (copied.bounds, copied.counts, copied.total) == ((1.0,), [1, 0], 0.5)


# Quantiles


@given(observations, shares)
def test_quantile_is_within_a_bucket_of_the_exact_one(values: list[float], share: float) -> None:
    exact, estimate = exact_quantile(values, share), observed(values).quantile(share)

    assert exact <= estimate * BUCKET * SLACK
    assert estimate <= exact * BUCKET * SLACK


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=200), shares)
def test_quantile_is_in_the_bucket_of_the_exact_one(values: list[float], share: float) -> None:
    exact, estimate = exact_quantile(values, share), observed(values).quantile(share)
    bounds = (0.0, *LATENCY_BOUNDS_S)
    place = bisect_left(bounds, exact, lo=1)

    assert bounds[place - 1] <= estimate * SLACK
    assert estimate <= bounds[min(place, len(bounds) - 1)] * SLACK


@given(observations, shares, shares)
def test_quantiles_rise_with_their_share(values: list[float], share: float, other: float) -> None:
    low, high = sorted((share, other))
    histogram = observed(values)

    assert histogram.quantile(low) <= histogram.quantile(high) * SLACK


QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize(
    ("bounds", "counts", "expected"),
    [
        ((2.0, 4.0), [0, 0, 0], [0.0, 0.0, 0.0, 0.0, 0.0]),
        ((1.0, 4.0, 64.0), [0, 4, 0, 0], [1.0, 2**0.5, 2.0, 2 * 2**0.5, 4.0]),
        ((1.0, 4.0, 64.0), [0, 4, 4, 0], [1.0, 2.0, 4.0, 16.0, 64.0]),
        ((2.0, 4.0), [10, 0, 0], [0.0, 0.5, 1.0, 1.5, 2.0]),  # linearly in the first bucket
        ((2.0, 4.0), [0, 0, 9], [4.0, 4.0, 4.0, 4.0, 4.0]),  # at most the last bound
        ((2.0, 4.0), [1, 0, 9], [0.0, 4.0, 4.0, 4.0, 4.0]),
        ((1.0, 2.0, 4.0, 8.0), [1, 0, 0, 1, 0], [0.0, 0.5, 1.0, 4 * 2**0.5, 8.0]),  # not in empty buckets
    ],
)
def test_quantile_interpolates_geometrically_inside_a_bucket(
    bounds: tuple[float, ...], counts: list[int], expected: list[float]
) -> None:
    histogram = Histogram(bounds)
    histogram.merge(counts, 0.0)

    assert [histogram.quantile(share) for share in QUARTERS] == pytest.approx(expected)


# Upstream models


def test_upstream_latency_is_recorded_per_model() -> None:
    metrics = Metrics()
    for model, after_s in (("small", 0.1), ("large", 2.0), ("small", 0.3)):
        metrics.upstream_began(model, after_s)

    totals = {model: histogram.total for model, histogram in metrics.upstream_ttft_s.items()}
    assert totals == {"small": pytest.approx(0.4), "large": 2.0}


def test_number_and_length_of_metered_model_names_are_limited() -> None:
    metrics = Metrics()
    for number in range(100, 200):
        metrics.upstream_began(f"{number} " * 100, 0.1)
    for model in ("line\nbreak", "100 " * 100):
        metrics.upstream_began(model, 0.1)

    counts = {model: sum(histogram.counts) for model, histogram in metrics.upstream_ttft_s.items()}
    known = {f"{number} " * 16: 1 for number in range(100, 100 + METERED_MODELS)}
    assert counts == known | {"100 " * 16: 2, "other": 93}


# Snapshots and sums


def summed(snapshot: Snapshot) -> Snapshot:
    """The fields that `merge` adds, without the gauges of which it takes the maximum."""
    return {name: value for name, value in snapshot.items() if name not in MAXIMA}


def test_every_metric_is_a_number_or_counts_by_name_or_a_histogram() -> None:
    for name in Metrics.__slots__:
        assert type(getattr(Metrics(), name)) in {int, float, dict, Histogram}, name


def test_snapshot_has_every_metric() -> None:
    fresh, counted = Metrics().snapshot(), all_counted().snapshot()

    assert set(counted) == set(Metrics.__slots__)
    assert [name for name in counted if counted[name] == fresh[name]] == []


def test_snapshot_does_not_change_later() -> None:
    metrics = all_counted()
    before = metrics.snapshot()
    metrics.merge(before)

    assert before == all_counted().snapshot()


def test_merge_takes_the_maximum_of_some_gauges() -> None:
    metrics = Metrics()
    for resolution_s in (0.001, 0.004, 0.002):
        other = Metrics()
        other.timer_resolution_s = resolution_s
        metrics.merge(other.snapshot())

    assert metrics.timer_resolution_s == 0.004


def test_snapshot_is_serializable() -> None:
    sent = msgspec.msgpack.encode(all_counted().snapshot())
    metrics = all_counted(2)
    metrics.merge(msgspec.msgpack.decode(sent))

    assert summed(metrics.snapshot()) == summed(all_counted(3).snapshot())


def test_merge_without_gauges_adds_counters_only() -> None:
    metrics, fresh, counted = Metrics(), Metrics().snapshot(), all_counted().snapshot()
    metrics.merge(counted, gauges=False)

    assert metrics.snapshot() == {name: (fresh if name in GAUGES else counted)[name] for name in counted}
    assert set(Metrics.__slots__) >= GAUGES


def test_merge_adds_counts_by_name() -> None:
    metrics, other = Metrics(), Metrics()
    metrics.requests = {("/chat", 200): 1, ("", 404): 2}
    other.requests = {("/chat", 200): 3, ("/chat", 429): 4}
    metrics.merge(other.snapshot())

    assert metrics.requests == {("/chat", 200): 4, ("", 404): 2, ("/chat", 429): 4}


def test_merge_and_since_with_other_bounds_raise() -> None:
    with pytest.raises(ValueError, match="zip"):
        Histogram((1.0,)).merge(*Histogram().snapshot())
    with pytest.raises(ValueError, match="zip"):
        Histogram((1.0,)).since([0])


def test_page_requests_are_counted_only_if_failed_or_refused() -> None:
    requests = {
        ("/history", 200): 5,
        ("/history", 404): 4,
        ("/history", 503): 3,
        ("/history", 429): 2,
        ("/chat", 401): 1,
    }

    assert [*without_pages(requests, frozenset({"/history"}))] == [
        ("/history", 503, 3),
        ("/history", 429, 2),
        ("/chat", 401, 1),
    ]
