"""vLLM's metrics, computed from simulated responses: for gateways and autoscalers that read them, without a GPU.

Source of names, labels and finish reasons: vLLM, `vllm/v1/metrics/loggers.py`, read in November 2026. A metric that
vLLM renamed is exported under both names: `time_per_output_token` is now `inter_token_latency`, `gpu_cache_usage`
is now `kv_cache_usage`. The histogram bounds are Tokenfall's own.
"""

from __future__ import annotations

from tokenfall.api.exposition import counter, counters, gauge, histogram
from tokenfall.metrics.registry import Histogram

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenfall.api.exposition import Family
    from tokenfall.http.application import Outcome
    from tokenfall.http.request import Request
    from tokenfall.metrics.registry import Metrics
    from tokenfall.simulator.state import SimulatorState

STREAMS_THAT_FILL_THE_CACHE = 256
"""Used if the grammar sets no `load`: vLLM's default number of sequences in a batch."""

ABORTED = "abort"
_REASONS = {"stop": "stop", "length": "length", "tool_calls": "stop", "content_filter": "stop"}
"""vLLM's finish reasons by Tokenfall's. vLLM counts a tool call as `stop`."""


class VLLMMetrics:
    """Counts one process's simulated responses on provider routes. `model` is the `model_name` label of all metrics."""

    def __init__(self, state: SimulatorState, now: Callable[[], float], *, model: str) -> None:
        self._state = state
        self._now = now
        self._labels = {"engine": "0", "model_name": model}
        self._running: dict[int, tuple[str, int]] = {}
        """Finish reason and unstreamed tokens of each response in progress, by the id of its request."""
        self._prompt_tokens = 0
        self._unstreamed_tokens = 0
        self._finished = {"stop": 0, "length": 0, ABORTED: 0}
        self._e2e_s = Histogram()

    def started(self, request: Request, *, prompt_tokens: int, reason: str, unstreamed_tokens: int) -> None:
        """A response has been planned.

        `unstreamed_tokens`: its tokens if it is not streamed, as nothing else counts them; 0 for a stream.
        """
        self._prompt_tokens += prompt_tokens
        self._running[id(request)] = _REASONS.get(reason, "stop"), unstreamed_tokens

    def ended(self, request: Request, outcome: Outcome) -> None:
        """A request has ended. It is counted only if `started` was called for it."""
        response = self._running.pop(id(request), None)
        if response is None:
            return
        self._e2e_s.observe(self._now() - request.started_s)
        if outcome == "complete":
            reason, unstreamed_tokens = response
            self._unstreamed_tokens += unstreamed_tokens
            self._finished[reason] += 1
        else:
            self._finished[ABORTED] += 1

    def families(self, metrics: Metrics) -> Iterator[Family]:
        """All vLLM metrics. `metrics` has the token count and the latencies of streams."""
        labels, limiter = self._labels, self._state.limiter
        load = self._state.defaults.load
        usage = min(1.0, limiter.active / (load.capacity if load else STREAMS_THAT_FILL_THE_CACHE))
        running = "Responses in progress, relative to the capacity of `load`."
        for name, text, value in (
            ("vllm:num_requests_running", "Responses in progress.", limiter.active),
            ("vllm:num_requests_waiting", "Responses queued by `load`.", limiter.waiting),
            ("vllm:kv_cache_usage_perc", running, usage),
            ("vllm:gpu_cache_usage_perc", running, usage),
        ):
            yield gauge(name, text, value=value, labels=labels)
        tokens = metrics.tokens + self._unstreamed_tokens
        yield counter("vllm:prompt_tokens_total", "Prompt tokens.", value=self._prompt_tokens, labels=labels)
        yield counter("vllm:generation_tokens_total", "Response tokens.", value=tokens, labels=labels)
        yield counters(
            "vllm:request_success_total",
            "Responses that ended, by finish reason.",
            counts=[({**labels, "finished_reason": reason}, count) for reason, count in self._finished.items()],
        )
        between = "Time between two tokens of a stream."
        for name, text, counted in (
            ("vllm:time_to_first_token_seconds", "Time from the request to the first token.", metrics.ttft_s),
            ("vllm:inter_token_latency_seconds", between, metrics.inter_token_s),
            ("vllm:time_per_output_token_seconds", between, metrics.inter_token_s),
            ("vllm:e2e_request_latency_seconds", "Time from the request to the end of the response.", self._e2e_s),
        ):
            yield histogram(name, text, counted=counted, labels=labels)
