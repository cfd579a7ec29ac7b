from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tokenfall.api.metrics import scraped as exposition_of
from tokenfall.metrics.registry import EXPORTED_BOUNDS_S, LATENCY_BOUNDS_S, Histogram, Metrics

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(metrics: Metrics) -> Samples:
    families = text_string_to_metric_families(exposition_of(metrics).decode())
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"tokenfall_{name}", frozenset(labels.items())]


NUMBERS = {
    "connections": "connections",
    "connections_refused": "connections_refused_total",
    "streams": "streams_in_flight",
    "tokens": "tokens_total",
    "bytes_sent": "sent_bytes_total",
    "stalled_readers": "stalled_readers_total",
    "rate_limited": "rate_limited_total",
    "log_lines_lost": "log_lines_lost_total",
    "upstream_retries": "upstream_retries_total",
    "workers": "workers",
    "detached_turns": "detached_turns",
    "resident_bytes": "resident_bytes",
    "request_memory_bytes": "request_memory_bytes",
    "response_memory_bytes": "response_memory_bytes",
    "timer_resolution_s": "timer_resolution_seconds",
}
"""Exported names of the metrics."""

LABELS = {
    "streams_ended": ("streams_ended_total", "outcome"),
    "streams_failed": ("streams_failed_total", "route"),
    "upstream_errors": ("upstream_errors_total", "code"),
    "redis_failures": ("redis_failures_total", "store"),
}
"""Exported names and labels of the counters with one label."""


def test_every_counter_is_exported() -> None:
    metrics = Metrics()
    assert value(scraped(metrics), "workers") == 1
    for number, name in enumerate((*NUMBERS, *LABELS)):
        setattr(metrics, name, number if name in NUMBERS else {"a": number})
    metrics.requests = {("/chat", 200): 11, ("", 404): 12}
    metrics.memory_refused = {("requests", "share"): 13}
    samples = scraped(metrics)

    exported = [value(samples, name) for name in NUMBERS.values()]
    exported += [value(samples, name, **{label: "a"}) for name, label in LABELS.values()]
    assert exported == [*range(len(NUMBERS) + len(LABELS))]
    assert value(samples, "requests_total", route="/chat", status="200") == 11
    assert value(samples, "requests_total", route="", status="404") == 12
    assert value(samples, "memory_refused_total", memory="requests", reason="share") == 13


def test_histogram_is_cumulative_with_its_sum() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.002, 100.0):
        metrics.ttft_s.observe(seconds)
    samples = scraped(metrics)

    assert value(samples, "ttft_seconds_bucket", le="0.0005") == 0
    assert value(samples, "ttft_seconds_bucket", le="0.001") == 1
    assert value(samples, "ttft_seconds_bucket", le="0.002") == 2
    assert value(samples, "ttft_seconds_bucket", le="32.0") == 2
    assert value(samples, "ttft_seconds_bucket", le="+Inf") == 3
    assert value(samples, "ttft_seconds_count") == 3
    assert value(samples, "ttft_seconds_sum") == 100.003


def test_only_published_bounds_are_scraped_in_order() -> None:
    lines = exposition_of(Metrics()).decode().splitlines()
    scraped_bounds = [
        line.partition('le="')[2].partition('"')[0] for line in lines if line.startswith("tokenfall_ttft_seconds_b")
    ]

    assert " ".join(scraped_bounds) == (
        "0.000125 0.00025 0.0005 0.001 0.002 0.004 0.008 0.016 0.032 0.064 0.125 0.25 0.5 1.0 2.0 4.0 8.0 16.0 32.0 "
        "+Inf"
    )


@given(st.lists(st.one_of(st.floats(0.0, 100.0), st.sampled_from(LATENCY_BOUNDS_S)), max_size=50))
def test_scraped_buckets_equal_a_histogram_with_those_bounds(values: list[float]) -> None:
    metrics, coarse = Metrics(), Histogram(EXPORTED_BOUNDS_S)
    for value_s in values:
        metrics.inter_token_s.observe(value_s)
        coarse.observe(value_s)
    samples = scraped(metrics)

    bounds = [*map(str, EXPORTED_BOUNDS_S), "+Inf"]
    assert [value(samples, "inter_token_seconds_bucket", le=bound) for bound in bounds] == coarse.cumulative()
    assert value(samples, "inter_token_seconds_count") == len(values)
    assert value(samples, "inter_token_seconds_sum") == coarse.total


def test_histograms_are_reported_separately() -> None:
    metrics = Metrics()
    metrics.inter_token_s.observe(1.0)
    metrics.timer_late_s.observe(2.0, 3)
    samples = scraped(metrics)

    assert [value(samples, f"{name}_seconds_count") for name in ("ttft", "inter_token", "ticker_lateness")] == [0, 1, 3]


def test_upstream_latency_is_recorded_per_model() -> None:
    metrics = Metrics()
    for model, after_s in (("small", 0.3), ("large", 3.0)):
        metrics.upstream_began(model, after_s)
    samples = scraped(metrics)

    assert value(samples, "upstream_ttft_seconds_bucket", model="small", le="0.5") == 1
    assert value(samples, "upstream_ttft_seconds_bucket", model="large", le="0.5") == 0
    assert value(samples, "upstream_ttft_seconds_sum", model="large") == 3.0


def test_label_with_quotes_and_line_breaks_is_escaped() -> None:
    metrics = Metrics()
    metrics.requests = {('/a"\n\\', 200): 1}

    assert value(scraped(metrics), "requests_total", route='/a"\n\\', status="200") == 1
