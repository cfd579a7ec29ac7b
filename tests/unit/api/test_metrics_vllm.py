import pytest
from prometheus_client.parser import text_string_to_metric_families

from tokenfall.api.metrics import scraped
from tokenfall.api.metrics_vllm import VLLMMetrics
from tokenfall.metrics.registry import Metrics
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.state import SimulatorState

from tests.doubles.requests import request

NAMES = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:gpu_cache_usage_perc",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:time_per_output_token_seconds",
    "vllm:e2e_request_latency_seconds",
}


class VllmHarness:
    """vLLM metrics with simulator state, clock and stream metrics."""

    def __init__(self, sim: str = "") -> None:
        self.state = SimulatorState(parse(sim))
        self.now_s = 100.0
        self.metrics = Metrics()
        self.vllm = VLLMMetrics(self.state, lambda: self.now_s, model="sim-7b")

    def value(self, name: str, **labels: str) -> float:
        expected = {"model_name": "sim-7b", "engine": "0", **labels}
        text = scraped(self.metrics, vllm=self.vllm).decode()
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        (found,) = [one.value for one in samples if one.name == f"vllm:{name}" and one.labels == expected]
        return found


def test_vllm_metrics_are_exported_only_if_enabled() -> None:
    harness = VllmHarness()
    named = {
        line.split()[2] for line in scraped(harness.metrics, vllm=harness.vllm).decode().splitlines() if "TYPE" in line
    }
    without_vllm = {line.split()[2] for line in scraped(harness.metrics).decode().splitlines() if "TYPE" in line}

    assert named - without_vllm == NAMES
    assert not any("vllm" in name for name in without_vllm)


@pytest.mark.parametrize(
    ("reason", "counted"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "stop"), ("content_filter", "stop"), ("anything", "stop")],
)
def test_prompt_is_counted_at_the_start_and_the_finish_reason_at_the_end(reason: str, counted: str) -> None:
    harness, incoming = VllmHarness(), request()
    incoming.started_s = 97.0
    harness.vllm.started(incoming, prompt_tokens=7, reason=reason, unstreamed_tokens=0)

    assert harness.value("prompt_tokens_total") == 7
    assert harness.value("request_success_total", finished_reason=counted) == 0
    harness.vllm.ended(incoming, "complete")
    assert harness.value("request_success_total", finished_reason=counted) == 1
    assert harness.value("e2e_request_latency_seconds_sum") == 3.0
    assert harness.value("e2e_request_latency_seconds_count") == 1


def test_broken_response_counts_as_aborted_without_response_tokens() -> None:
    harness, incoming = VllmHarness(), request()
    harness.vllm.started(incoming, prompt_tokens=1, reason="stop", unstreamed_tokens=9)
    harness.vllm.ended(incoming, "left")

    assert harness.value("request_success_total", finished_reason="abort") == 1
    assert harness.value("request_success_total", finished_reason="stop") == 0
    assert harness.value("generation_tokens_total") == 0


def test_tokens_of_streaming_and_non_streaming_responses_are_summed() -> None:
    harness, incoming = VllmHarness(), request()
    harness.metrics.tokens = 5
    harness.vllm.started(incoming, prompt_tokens=1, reason="length", unstreamed_tokens=9)
    harness.vllm.ended(incoming, "complete")
    harness.vllm.ended(incoming, "complete")  # a second end of the same request
    harness.vllm.ended(request(), "complete")  # an unknown request

    assert harness.value("generation_tokens_total") == 14
    assert harness.value("request_success_total", finished_reason="length") == 1


def test_running_and_waiting_requests_are_those_of_the_simulator() -> None:
    harness = VllmHarness("load=2@2")
    load = harness.state.defaults.load
    permits = [harness.state.limiter.permit(load) for _ in range(3)]
    admitted = [permit.passes(lambda: None) for permit in permits]

    assert admitted == [True, True, False]
    assert harness.value("num_requests_running") == 2
    assert harness.value("num_requests_waiting") == 1
    assert harness.value("kv_cache_usage_perc") == harness.value("gpu_cache_usage_perc") == 1.0


def test_cache_usage_without_a_limit_assumes_one_batch() -> None:
    harness = VllmHarness()
    for _ in range(64):
        harness.state.limiter.acquire()

    assert harness.value("kv_cache_usage_perc") == 0.25


def test_latency_histograms_are_those_of_the_streams() -> None:
    harness = VllmHarness()
    harness.metrics.ttft_s.observe(0.3)
    harness.metrics.inter_token_s.observe(0.02, 4)

    assert harness.value("time_to_first_token_seconds_count") == 1
    assert harness.value("inter_token_latency_seconds_count") == 4
    assert harness.value("time_per_output_token_seconds_sum") == pytest.approx(0.08)
