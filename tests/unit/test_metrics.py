from tokenfall.metrics import LATENCY_BOUNDS_S, Histogram, Metrics, add


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
