"""The server's own metrics as metric families, for `/metrics`. Names follow Prometheus' naming practice."""

from __future__ import annotations

from itertools import chain

from tokenfall.api.exposition import counter, counters, exposition, gauge, histogram, histograms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenfall.api.exposition import Family
    from tokenfall.api.metrics_vllm import VLLMMetrics
    from tokenfall.metrics.registry import Metrics


def scraped(metrics: Metrics, *, vllm: VLLMMetrics | None = None) -> bytes:
    """The body of `/metrics`: all metrics as text, vLLM's last."""
    return exposition(chain(families(metrics), () if vllm is None else vllm.families(metrics)))


def families(metrics: Metrics) -> Iterator[Family]:
    """All metrics of this server, without vLLM's."""
    yield from _gauges(metrics)
    yield from _counters(metrics)
    yield from _labelled(metrics)
    yield from _histograms(metrics)


def _gauges(metrics: Metrics) -> Iterator[Family]:
    yield gauge("tokenfall_connections", "Open connections.", value=metrics.connections)
    yield gauge("tokenfall_streams_in_flight", "Streams in flight.", value=metrics.streams)
    yield gauge("tokenfall_detached_turns", "Turns without a client.", value=metrics.detached_turns)
    yield gauge("tokenfall_workers", "Worker processes alive.", value=metrics.workers)
    yield gauge("tokenfall_resident_bytes", "Resident memory of all workers.", value=metrics.resident_bytes)
    yield gauge(
        "tokenfall_request_memory_bytes",
        "Memory of request bodies, requests to the upstream and running chats.",
        value=metrics.request_memory_bytes,
    )
    yield gauge(
        "tokenfall_response_memory_bytes",
        "Memory of responses held complete.",
        value=metrics.response_memory_bytes,
    )
    yield gauge(
        "tokenfall_timer_resolution_seconds",
        "Width of the timer wheel's slots: finer while the loop has time.",
        value=metrics.timer_resolution_s,
    )


def _counters(metrics: Metrics) -> Iterator[Family]:
    yield counter("tokenfall_tokens_total", "Tokens written to streams.", value=metrics.tokens)
    yield counter("tokenfall_sent_bytes_total", "Bytes of response bodies.", value=metrics.bytes_sent)
    yield counter("tokenfall_connections_refused_total", "Connections refused.", value=metrics.connections_refused)
    yield counter(
        "tokenfall_stalled_readers_total",
        "Connections reset because the client stalled.",
        value=metrics.stalled_readers,
    )
    yield counter(
        "tokenfall_log_lines_lost_total", "Access log lines that could not be written.", value=metrics.log_lines_lost
    )
    yield counter("tokenfall_rate_limited_total", "Requests refused by the rate limit.", value=metrics.rate_limited)
    yield counter("tokenfall_upstream_retries_total", "Retries of upstream requests.", value=metrics.upstream_retries)


def _histograms(metrics: Metrics) -> Iterator[Family]:
    yield histogram("tokenfall_ttft_seconds", "Time to first token.", counted=metrics.ttft_s)
    yield histograms(
        "tokenfall_upstream_ttft_seconds",
        "Time to first token of the upstream.",
        counted=[({"model": model}, counted) for model, counted in metrics.upstream_ttft_s.items()],
    )
    yield histogram("tokenfall_inter_token_seconds", "Time between tokens.", counted=metrics.inter_token_s)
    yield histogram(
        "tokenfall_ticker_lateness_seconds",
        "Lateness of the timer wheel.",
        counted=metrics.timer_late_s,
    )


def _labelled(metrics: Metrics) -> Iterator[Family]:
    """Counters by outcome, route, code and store."""
    yield _by_label(
        "tokenfall_streams_ended_total", "Streams by how they ended.", label="outcome", counts=metrics.streams_ended
    )
    yield _by_label(
        "tokenfall_streams_failed_total",
        "Streams that failed after their status was sent.",
        label="route",
        counts=metrics.streams_failed,
    )
    yield _by_label(
        "tokenfall_upstream_errors_total", "Failures of the upstream.", label="code", counts=metrics.upstream_errors
    )
    yield _by_label(
        "tokenfall_redis_failures_total",
        "Redis calls that failed or timed out.",
        label="store",
        counts=metrics.redis_failures,
    )
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


def _by_label(name: str, text: str, *, label: str, counts: dict[str, int]) -> Family:
    return counters(name, text, counts=[({label: value}, count) for value, count in counts.items()])
