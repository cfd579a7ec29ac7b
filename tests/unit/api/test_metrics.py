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


def counted() -> Metrics:
    metrics = Metrics()
    metrics.connections, metrics.connections_refused, metrics.streams = 1, 2, 3
    metrics.tokens, metrics.bytes_sent, metrics.stalled_readers, metrics.rate_limited = 4, 5, 6, 7
    metrics.log_lines_lost, metrics.detached_turns = 8, 15
    metrics.upstream_retries, metrics.workers, metrics.resident_bytes = 13, 14, 1_000
    metrics.streams_ended = {"left": 9}
    metrics.streams_failed = {"/chat": 16}
    metrics.upstream_errors = {"upstream_timeout": 10}
    metrics.redis_failures = {"turns": 15}
    metrics.requests = {("/chat", 200): 11, ("", 404): 12}
    return metrics


def test_every_counter_is_exported() -> None:
    samples = scraped(counted())

    assert value(samples, "connections") == 1
    assert value(samples, "connections_refused_total") == 2
    assert value(samples, "streams_in_flight") == 3
    assert value(samples, "streams_failed_total", route="/chat") == 16
    assert value(samples, "tokens_total") == 4
    assert value(samples, "sent_bytes_total") == 5
    assert value(samples, "stalled_readers_total") == 6
    assert value(samples, "rate_limited_total") == 7
    assert value(samples, "log_lines_lost_total") == 8
    assert value(samples, "streams_ended_total", outcome="left") == 9
    assert value(samples, "upstream_errors_total", code="upstream_timeout") == 10
    assert value(samples, "redis_failures_total", store="turns") == 15
    assert value(samples, "requests_total", route="/chat", status="200") == 11
    assert value(samples, "requests_total", route="", status="404") == 12
    assert value(samples, "upstream_retries_total") == 13
    assert value(samples, "workers") == 14
    assert value(samples, "detached_turns") == 15
    assert value(samples, "resident_bytes") == 1_000


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


def test_workers_gauge_is_1_for_a_single_process() -> None:
    assert value(scraped(Metrics()), "workers") == 1
