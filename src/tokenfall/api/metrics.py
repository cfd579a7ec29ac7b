"""The server's own metrics as metric families, for `/metrics`. Names follow Prometheus' naming practice."""

from __future__ import annotations

from itertools import chain

from tokenfall.api.exposition import counter, counters, exposition, gauge, histogram, histograms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokenfall.api.exposition import Family
    from tokenfall.api.metrics_vllm import VLLMMetrics
    from tokenfall.metrics.registry import Metrics


def scraped(metrics: Metrics, *, vllm: VLLMMetrics | None = None) -> bytes:
    """The body of `/metrics`: all metrics as text, vLLM's last."""
    return exposition(chain(families(metrics), () if vllm is None else vllm.families(metrics)))


def families(metrics: Metrics) -> Iterator[Family]:
    """All metrics of this server, without vLLM's."""
    for name, text, value in _gauges(metrics):
        yield gauge(name, text, value=value)
    for name, text, value in _counters(metrics):
        yield counter(name, text, value=value)
    for name, text, label, counts in _labelled(metrics):
        yield counters(name, text, counts=[({label: key}, count) for key, count in counts.items()])
    yield counters(
        "tokenfall_memory_refused_total",
        "Requests refused because REQUEST_MEMORY or RESPONSE_MEMORY, or the caller's share of it, was in use.",
        counts=[
            ({"memory": memory, "reason": reason}, count) for (memory, reason), count in metrics.memory_refused.items()
        ],
    )
    yield counters(
        "tokenfall_requests_total",
        "Responses.",
        counts=[
            ({"route": route, "status": str(status)}, count) for (route, status), count in metrics.requests.items()
        ],
    )
    yield histogram("tokenfall_ttft_seconds", "Time to first token.", counted=metrics.ttft_s)
    yield histograms(
        "tokenfall_upstream_ttft_seconds",
        "Time to first token of the upstream.",
        counted=[({"model": model}, counted) for model, counted in metrics.upstream_ttft_s.items()],
    )
    yield histogram("tokenfall_inter_token_seconds", "Time between tokens.", counted=metrics.inter_token_s)
    yield histogram("tokenfall_ticker_lateness_seconds", "Lateness of the timer wheel.", counted=metrics.timer_late_s)


def _gauges(metrics: Metrics) -> Iterable[tuple[str, str, float]]:
    used_by_requests = "Memory of request bodies, requests to the upstream and running chats."
    resolution = "Width of the timer wheel's slots: finer while the loop has time."
    return (
        ("tokenfall_connections", "Open connections.", metrics.connections),
        ("tokenfall_streams_in_flight", "Streams in flight.", metrics.streams),
        ("tokenfall_detached_turns", "Turns without a client.", metrics.detached_turns),
        ("tokenfall_workers", "Worker processes alive.", metrics.workers),
        ("tokenfall_resident_bytes", "Resident memory of all workers.", metrics.resident_bytes),
        ("tokenfall_request_memory_bytes", used_by_requests, metrics.request_memory_bytes),
        ("tokenfall_response_memory_bytes", "Memory of responses held complete.", metrics.response_memory_bytes),
        ("tokenfall_timer_resolution_seconds", resolution, metrics.timer_resolution_s),
    )


def _counters(metrics: Metrics) -> Iterable[tuple[str, str, int]]:
    stalled = "Connections reset because the client stalled."
    return (
        ("tokenfall_tokens_total", "Tokens written to streams.", metrics.tokens),
        ("tokenfall_sent_bytes_total", "Bytes of response bodies.", metrics.bytes_sent),
        ("tokenfall_connections_refused_total", "Connections refused.", metrics.connections_refused),
        ("tokenfall_stalled_readers_total", stalled, metrics.stalled_readers),
        ("tokenfall_log_lines_lost_total", "Access log lines that could not be written.", metrics.log_lines_lost),
        ("tokenfall_rate_limited_total", "Requests refused by the rate limit.", metrics.rate_limited),
        ("tokenfall_upstream_retries_total", "Retries of upstream requests.", metrics.upstream_retries),
    )


def _labelled(metrics: Metrics) -> Iterable[tuple[str, str, str, dict[str, int]]]:
    """Counters with one label, whose name is the third member."""
    failed = "Streams that failed after their status was sent."
    redis = "Redis calls that failed or timed out."
    return (
        ("tokenfall_streams_ended_total", "Streams by how they ended.", "outcome", metrics.streams_ended),
        ("tokenfall_streams_failed_total", failed, "route", metrics.streams_failed),
        ("tokenfall_upstream_errors_total", "Failures of the upstream.", "code", metrics.upstream_errors),
        ("tokenfall_redis_failures_total", redis, "store", metrics.redis_failures),
    )
