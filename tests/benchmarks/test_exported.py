import pytest

from benchmarks.exported import counts_in, quantile
from benchmarks.measurement import NotMeasured

PAGE = """# TYPE tokenfall_ticker_lateness_seconds histogram
tokenfall_ticker_lateness_seconds_bucket{le="0.001"} 90.0
tokenfall_ticker_lateness_seconds_bucket{le="0.003"} 98.0
tokenfall_ticker_lateness_seconds_bucket{le="+Inf"} 100.0
tokenfall_ticker_lateness_seconds_sum 0.5
tokenfall_inter_token_seconds_bucket{le="0.001"} 7.0
"""


def test_counts_in_a_metrics_page_are_those_of_the_lateness_histogram() -> None:
    assert counts_in(PAGE) == {0.001: 90, 0.003: 98, float("inf"): 100}


@pytest.mark.parametrize(("q", "seconds"), [(0.45, 0.0005), (0.9, 0.001), (0.94, 0.002), (0.98, 0.003)])
def test_quantile_is_linear_within_its_bucket(q: float, seconds: float) -> None:
    assert quantile(counts_in(PAGE), q) == pytest.approx(seconds)


def test_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile(counts_in(PAGE), 0.99) == 0.003


@pytest.mark.parametrize("cumulative", [{}, {0.001: 0, float("inf"): 0}])
def test_quantile_without_observations_is_not_measured(cumulative: dict[float, float]) -> None:
    with pytest.raises(NotMeasured, match="lateness"):
        quantile(cumulative, 0.99)
