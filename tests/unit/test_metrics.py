import msgspec
import pytest

from tokenfall.metrics import GAUGES, LATENCY_BOUNDS_S, Histogram, Metrics, add

LABELS: dict[str, object] = {"requests": ("/chat", 200)}
"""A key of each dict whose keys are not words."""


def all_counted(times: int = 1) -> Metrics:
    """Metrics in which nothing is as at the start, whatever Metrics come to hold."""
    metrics = Metrics()
    for place, name in enumerate(Metrics.__slots__, 1):
        value = getattr(metrics, name)
        if isinstance(value, Histogram):
            value.observe(0.5, place * times)
        elif isinstance(value, dict):
            value[LABELS.get(name, "code")] = place * times
        else:
            setattr(metrics, name, place * times)
    return metrics


def test_an_observation_counts_in_the_first_bound_that_holds_it() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.0, 0.1, 0.2, 1.0, 1.1):
        histogram.observe(value)

    assert histogram.counts == [2, 2, 1]
    assert histogram.cumulative() == [2, 4, 5]
    assert histogram.total == 0.0 + 0.1 + 0.2 + 1.0 + 1.1


def test_an_observation_may_count_often_or_not_at_all() -> None:
    histogram = Histogram((0.1, 1.0))
    histogram.observe(0.5, 3)
    histogram.observe(0.5, 0)

    assert (histogram.cumulative(), histogram.total) == ([0, 3, 3], 1.5)


def test_the_bounds_of_latencies_rise() -> None:
    assert list(LATENCY_BOUNDS_S) == sorted(set(LATENCY_BOUNDS_S))


def test_histograms_share_no_counts() -> None:
    metrics = Metrics()
    metrics.ttft_s.observe(0.1)

    assert sum(metrics.inter_token_s.counts) == sum(Metrics().ttft_s.counts) == 0


def test_a_name_is_counted_from_one() -> None:
    counts: dict[str, int] = {}
    for name in ("left", "cut", "left"):
        add(counts, name)

    assert counts == {"left": 2, "cut": 1}


# Snapshots and sums


def test_every_metric_is_a_number_or_counts_by_name_or_a_histogram() -> None:
    for name in Metrics.__slots__:
        assert type(getattr(Metrics(), name)) in {int, dict, Histogram}, name


def test_a_snapshot_holds_everything() -> None:
    fresh, counted = Metrics().snapshot(), all_counted().snapshot()

    assert set(counted) == set(Metrics.__slots__)
    assert [name for name in counted if counted[name] == fresh[name]] == []


def test_a_snapshot_does_not_change_later() -> None:
    metrics = all_counted()
    before = metrics.snapshot()
    metrics.merge(before)

    assert before == all_counted().snapshot()


def test_a_sum_adds_everything_up() -> None:
    metrics = all_counted()
    metrics.merge(all_counted(2).snapshot())

    assert metrics.snapshot() == all_counted(3).snapshot()


def test_a_snapshot_may_go_to_another_process() -> None:
    sent = msgspec.msgpack.encode(all_counted().snapshot())
    metrics = all_counted(2)
    metrics.merge(msgspec.msgpack.decode(sent))

    assert metrics.snapshot() == all_counted(3).snapshot()


def test_of_a_dead_process_everything_counts_but_its_gauges() -> None:
    metrics, fresh, counted = Metrics(), Metrics().snapshot(), all_counted().snapshot()
    metrics.merge(counted, gauges=False)

    assert metrics.snapshot() == {name: (fresh if name in GAUGES else counted)[name] for name in counted}
    assert set(Metrics.__slots__) >= GAUGES


def test_counts_by_name_add_up_name_by_name() -> None:
    metrics, other = Metrics(), Metrics()
    metrics.requests = {("/chat", 200): 1, ("", 404): 2}
    other.requests = {("/chat", 200): 3, ("/chat", 429): 4}
    metrics.merge(other.snapshot())

    assert metrics.requests == {("/chat", 200): 4, ("", 404): 2, ("/chat", 429): 4}


def test_histograms_of_other_bounds_are_not_added() -> None:
    with pytest.raises(ValueError, match="zip"):
        Histogram((1.0,)).merge(*Histogram().snapshot())
