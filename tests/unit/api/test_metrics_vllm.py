import pytest
from prometheus_client.parser import text_string_to_metric_families

from tokenfall.api.metrics import scraped
from tokenfall.api.metrics_vllm import VLLMMetrics
from tokenfall.metrics import Metrics
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


class World:
    """The counts with a stage, a clock and the counters of streams."""

    def __init__(self, sim: str = "") -> None:
        self.state = SimulatorState(parse(sim))
        self.now_s = 100.0
        self.metrics = Metrics()
        self.vllm = VLLMMetrics(self.state, lambda: self.now_s, model="sim-7b")

    def value(self, name: str, **labels: str) -> float:
        wanted = {"model_name": "sim-7b", "engine": "0", **labels}
        text = scraped(self.metrics, vllm=self.vllm).decode()
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        (found,) = [one.value for one in samples if one.name == f"vllm:{name}" and one.labels == wanted]
        return found


def test_vllm_metrics_are_exported_only_if_enabled() -> None:
    world = World()
    named = {
        line.split()[2] for line in scraped(world.metrics, vllm=world.vllm).decode().splitlines() if "TYPE" in line
    }
    ours = {line.split()[2] for line in scraped(world.metrics).decode().splitlines() if "TYPE" in line}

    assert named - ours == NAMES
    assert not any("vllm" in name for name in ours)


@pytest.mark.parametrize(
    ("reason", "counted"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "stop"), ("content_filter", "stop"), ("anything", "stop")],
)
def test_prompt_is_counted_at_the_start_and_the_finish_reason_at_the_end(reason: str, counted: str) -> None:
    world, requested = World(), request()
    requested.started_s = 97.0
    world.vllm.started(requested, prompt_tokens=7, reason=reason, unstreamed_tokens=0)

    assert world.value("prompt_tokens_total") == 7
    assert world.value("request_success_total", finished_reason=counted) == 0
    world.vllm.ended(requested, "complete")
    assert world.value("request_success_total", finished_reason=counted) == 1
    assert world.value("e2e_request_latency_seconds_sum") == 3.0
    assert world.value("e2e_request_latency_seconds_count") == 1


def test_broken_response_counts_as_aborted_without_response_tokens() -> None:
    world, requested = World(), request()
    world.vllm.started(requested, prompt_tokens=1, reason="stop", unstreamed_tokens=9)
    world.vllm.ended(requested, "left")

    assert world.value("request_success_total", finished_reason="abort") == 1
    assert world.value("request_success_total", finished_reason="stop") == 0
    assert world.value("generation_tokens_total") == 0


def test_tokens_of_streaming_and_non_streaming_responses_are_summed() -> None:
    world, requested = World(), request()
    world.metrics.tokens = 5
    world.vllm.started(requested, prompt_tokens=1, reason="length", unstreamed_tokens=9)
    world.vllm.ended(requested, "complete")
    world.vllm.ended(requested, "complete")  # a request ends once
    world.vllm.ended(request(), "complete")  # and of another nothing is known

    assert world.value("generation_tokens_total") == 14
    assert world.value("request_success_total", finished_reason="length") == 1


def test_running_and_waiting_requests_are_those_of_the_simulator() -> None:
    world = World("load=2@2")
    load = world.state.defaults.load
    tickets = [world.state.limiter.permit(load) for _ in range(3)]
    passed = [permit.passes(lambda: None) for permit in tickets]

    assert passed == [True, True, False]
    assert world.value("num_requests_running") == 2
    assert world.value("num_requests_waiting") == 1
    assert world.value("kv_cache_usage_perc") == world.value("gpu_cache_usage_perc") == 1.0


def test_cache_usage_without_a_limit_assumes_one_batch() -> None:
    world = World()
    for _ in range(64):
        world.state.limiter.acquire()

    assert world.value("kv_cache_usage_perc") == 0.25


def test_latency_histograms_are_those_of_the_streams() -> None:
    world = World()
    world.metrics.ttft_s.observe(0.3)
    world.metrics.inter_token_s.observe(0.02, 4)

    assert world.value("time_to_first_token_seconds_count") == 1
    assert world.value("inter_token_latency_seconds_count") == 4
    assert world.value("time_per_output_token_seconds_sum") == pytest.approx(0.08)
