"""Our counters as Prometheus text. Imports prometheus-client, so it is imported at the first scrape only.

Source: the Prometheus text format 0.0.4; names follow its naming practice.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tokenfall.metrics import STEPS, TOLD_BOUNDS_S, Histogram, Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(metrics: Metrics) -> bytes:
    """All counters as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(metrics))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield GaugeMetricFamily("tokenfall_connections", "Open connections.", metrics.connections)
        yield GaugeMetricFamily("tokenfall_streams_in_flight", "Streams being played.", metrics.streams)
        yield GaugeMetricFamily(
            "tokenfall_detached_turns", "Turns that go on without their clients.", metrics.detached_turns
        )
        yield GaugeMetricFamily("tokenfall_workers", "Worker processes alive.", metrics.workers)
        yield GaugeMetricFamily("tokenfall_resident_bytes", "Resident memory of all workers.", metrics.resident_bytes)
        yield GaugeMetricFamily(
            "tokenfall_timer_resolution_seconds",
            "Width of the timer wheel's slots: finer while the loop has time.",
            metrics.timer_resolution_s,
        )
        for name, text, value in (
            (
                "tokenfall_tokens",
                "Tokens written to streams.",
                metrics.tokens,
            ),
            ("tokenfall_sent_bytes", "Bytes of answers' bodies.", metrics.bytes_sent),
            ("tokenfall_connections_refused", "Connections beyond the cap.", metrics.connections_refused),
            (
                "tokenfall_stalled_readers",
                "Connections reset because their reader stalled.",
                metrics.stalled_readers,
            ),
            ("tokenfall_log_lines_lost", "Access log lines that could not be written.", metrics.log_lines_lost),
            ("tokenfall_rate_limited", "Requests refused by the rate limit.", metrics.rate_limited),
            ("tokenfall_upstream_retries", "Requests asked of the upstream again.", metrics.upstream_retries),
        ):
            yield CounterMetricFamily(name, text, value)
        yield _labelled(
            "tokenfall_streams_ended", "Streams by how they ended.", label="outcome", counts=metrics.streams_ended
        )
        yield _labelled(
            "tokenfall_upstream_errors", "Failures of the upstream.", label="code", counts=metrics.upstream_errors
        )
        requests = CounterMetricFamily("tokenfall_requests", "Answers.", labels=("route", "status"))
        for (route, status), count in metrics.requests.items():
            requests.add_metric((route, str(status)), count)
        yield requests
        yield _histogram("tokenfall_ttft_seconds", "Request to first token.", histogram=metrics.ttft_s)
        yield _histogram(
            "tokenfall_inter_token_seconds", "Token to token of a stream.", histogram=metrics.inter_token_s
        )
        yield _histogram(
            "tokenfall_ticker_lateness_seconds",
            "Deadline asked for to call, of the timer wheel.",
            histogram=metrics.timer_late_s,
        )


def _labelled(name: str, text: str, *, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def _histogram(name: str, text: str, *, histogram: Histogram) -> HistogramMetricFamily:
    bounds = [*map(str, TOLD_BOUNDS_S), "+Inf"]
    cumulative = histogram.cumulative()
    buckets = list(zip(bounds, (*cumulative[:-1:STEPS], cumulative[-1]), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.total)
