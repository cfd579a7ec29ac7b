"""The cost of the dashboard's history: processor time of the samples of a busy server, as a share of a core.

The samples are taken in this process, one after the other, with metrics as they are after many requests.
"""

from collections.abc import Callable
from time import thread_time

from tokenfall.api.probes import resident_bytes
from tokenfall.bootstrap.sampling import Sampling
from tokenfall.metrics.history import MetricsHistory
from tokenfall.metrics.registry import LATENCY_BOUNDS_S, METERED_MODELS, Histogram, Metrics
from tokenfall.metrics.shared import SharedMetrics
from tokenfall.reactor.wheel import TimerWheel

from benchmarks.bench import Bench, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample

WORKERS = 4
SAMPLES = 2_000
ALONE = Row("history_cpu", "sampling the metrics once a second, one process", "% of a core", target=Goal(0.1))
SHARED = Row("history_cpu_workers", f"the same for {WORKERS} workers", "% of a core", target=Goal(0.1))


def _busy(metrics: Metrics) -> None:
    """Increment metrics of every kind, as in a second with many different requests."""
    metrics.connections = 100
    for route in ("/chat", "/v1/chat/completions", "/v1/messages", "/api/chat", "/stream-sse"):
        for status in (200, 400, 401, 404, 429, 500, 502, 503):
            metrics.requests[route, status] = metrics.requests.get((route, status), 0) + 1
    for histogram in (metrics.ttft_s, metrics.inter_token_s, metrics.timer_late_s):
        _observe(histogram)
    for model in range(METERED_MODELS):
        _observe(metrics.upstream_ttft_s.setdefault(f"model-{model}", Histogram()))


def _observe(histogram: Histogram) -> None:
    for value in LATENCY_BOUNDS_S:
        histogram.observe(value)


def _percent(sampling: Sampling, count: Callable[[], None], *, samples: int) -> float:
    """Processor time per sample in per cent of a core, as one sample is taken per second."""
    spent_s = 0.0
    for second in range(1, samples + 1):
        count()
        begun_s = thread_time()
        sampling.due(float(second))
        spent_s += thread_time() - begun_s
    return 100 * spent_s / samples


def _tokenfall(bench: Bench) -> Sample:
    samples = SAMPLES // 10 if bench.quick else SAMPLES
    metrics = Metrics()

    def measured() -> Metrics:
        metrics.resident_bytes = resident_bytes()
        return metrics

    alone = _percent(_sampling(measured), lambda: _busy(metrics), samples=samples)
    shared = SharedMetrics(WORKERS)

    def count() -> None:
        _busy(metrics)
        for number in range(WORKERS):
            shared.number = number
            shared.publish(metrics.snapshot())

    workers = _percent(_sampling(shared.total, shared.history), count, samples=samples)
    return Sample({ALONE.name: alone, SHARED.name: workers})


def _sampling(measured: Callable[[], Metrics], history: MetricsHistory | None = None) -> Sampling:
    return Sampling(measured, TimerWheel(Histogram()), page_paths=frozenset(), history=history)


MEASUREMENT = Measurement((ALONE, SHARED), {OURS: _tokenfall})
