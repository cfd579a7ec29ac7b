"""The values of a row for its second or minute."""

from math import isnan
from typing import Any

import pytest

from tokenfall.metrics.history import CODES, FIELDS, MINUTES, MODELS, SECONDS, MetricsHistory, Ring
from tokenfall.metrics.registry import Histogram, Metrics
from tokenfall.metrics.sampler import MetricsSampler
from tokenfall.slicing.computation import at_once

Row = tuple[Any, ...]

START = 6_000
"""A full minute."""


class Harness:
    """A sampler and the metrics that it samples each second."""

    def __init__(self, before: Metrics | None = None) -> None:
        self.history = MetricsHistory()
        self.metrics = Metrics()
        self.second = START
        page_paths = frozenset({"/board"})
        self.sampler = MetricsSampler(self.history, before or Metrics(), now_s=START, page_paths=page_paths)

    def pass_s(self, seconds: int = 1, *, idle: bool = False) -> None:
        for _ in range(seconds):
            self.second += 1
            self.sampler.sample(self.metrics, self.second + 0.0001, idle=idle)

    def rows(self, ring: Ring = SECONDS, *, newest: int | None = None) -> list[Row | None]:
        newest = self.second if newest is None else newest
        return at_once(self.history.read(ring, newest=newest, count=ring.rows))

    def values(self, name: str, ring: Ring = SECONDS, *, newest: int | None = None) -> list[float]:
        return [(each or ())[FIELDS.index(name)] for each in self.rows(ring, newest=newest)]

    def codes(self) -> list[dict[str, int]]:
        start, names = len(FIELDS), self.history.names(CODES)
        rows = [dict(zip(names, (each or ())[start : start + CODES.places], strict=True)) for each in self.rows()]
        return [{name: count for name, count in each.items() if count} for each in rows]

    def models(self) -> list[dict[str, float]]:
        names = self.history.names(MODELS)
        rows = [dict(zip(names, (each or ())[-MODELS.places :], strict=True)) for each in self.rows()]
        return [{name: value for name, value in each.items() if not isnan(value)} for each in rows]


def test_row_has_gauges_and_the_counts_of_its_second() -> None:
    harness = Harness()
    metrics = harness.metrics
    metrics.streams, metrics.connections, metrics.resident_bytes, metrics.tokens = 2, 3, 20 * 1024, 100
    metrics.request_memory_bytes, metrics.response_memory_bytes = 5 * 1024, 1
    metrics.requests = {("/chat", 200): 4}
    harness.pass_s()
    metrics.streams, metrics.tokens, metrics.request_memory_bytes = 1, 130, 0
    harness.pass_s()

    gauges = {name: harness.values(name) for name in ("streams", "connections", "resident_kib")}
    assert gauges == {"streams": [2, 1], "connections": [3, 3], "resident_kib": [20, 20]}
    assert (harness.values("request_memory_kib"), harness.values("response_memory_kib")) == ([5, 0], [1, 1])
    assert (harness.values("tokens"), harness.values("requests")) == ([100, 30], [4, 0])


def test_counts_before_the_start_are_in_no_row() -> None:
    before = Metrics()
    before.tokens, before.requests = 100, {("/chat", 429): 7}
    before.ttft_s.observe(1.0)
    harness = Harness(before)
    harness.metrics.merge(before.snapshot())
    harness.pass_s()

    assert [harness.values(name) for name in ("tokens", "requests", "ttft_count")] == [[0], [0], [0]]
    assert harness.codes() == [{}]


def test_decreasing_counts_are_none() -> None:
    before = Metrics()
    before.tokens, before.requests = 100, {("/chat", 429): 7}
    before.ttft_s.observe(1.0)
    before.upstream_began("m", 1.0)
    harness = Harness(before)
    harness.metrics.upstream_ttft_s = {"m": Histogram()}
    harness.pass_s()

    assert [harness.values(name) for name in ("tokens", "requests", "ttft_count")] == [[0], [0], [0]]
    assert (harness.codes(), harness.models()) == ([{}], [{}])


def test_excluded_requests_are_not_counted() -> None:
    harness = Harness()
    harness.metrics.requests = {("/board", 404): 5, ("/chat", 404): 1}
    harness.pass_s()

    assert (harness.values("requests"), harness.codes()) == ([1], [{"404": 1}])


def test_errors_are_counted_by_their_code() -> None:
    harness = Harness()
    metrics = harness.metrics
    metrics.requests = {("/chat", 429): 1, ("/v1/models", 429): 2, ("/chat", 200): 3, ("/chat", 399): 1}
    metrics.streams_failed = {"/chat": 4, "/v1/messages": 1}
    metrics.upstream_errors = {"upstream_reset": 6}
    harness.pass_s()
    metrics.requests = metrics.requests | {("/chat", 429): 11}
    harness.pass_s()

    assert harness.codes() == [{"429": 3, "failed": 5, "upstream_reset": 6}, {"429": 10}]


def test_percentiles_of_a_second_are_of_ten_seconds() -> None:
    harness = Harness()
    harness.metrics.ttft_s.observe(0.4, 3)
    harness.pass_s(5)
    harness.metrics.ttft_s.observe(0.4)
    harness.pass_s(15)

    assert harness.values("ttft_count") == [3] * 5 + [4] * 5 + [1] * 5 + [0] * 5
    assert all(isnan(value) for value in harness.values("ttft_p50_s")[-5:])


def test_each_latency_has_its_own_percentiles() -> None:
    harness = Harness()
    histograms = harness.metrics.ttft_s, harness.metrics.inter_token_s, harness.metrics.timer_late_s
    for place, histogram in enumerate(histograms, 1):
        histogram.observe(0.01 * place, 90)
        histogram.observe(place, 10)
    harness.pass_s()

    for place, name in enumerate(("ttft", "inter_token", "ticker_late"), 1):
        assert harness.values(f"{name}_count") == [100]
        assert harness.values(f"{name}_p50_s") == [pytest.approx(0.01 * place, rel=0.2)]
        assert harness.values(f"{name}_p99_s") == [pytest.approx(place, rel=0.2)]


def test_models_of_the_upstream_have_their_own_latencies() -> None:
    harness = Harness()
    harness.metrics.upstream_began("small", 0.1)
    harness.pass_s()
    harness.metrics.upstream_began("large", 2.0)
    harness.metrics.upstream_began("small", 4.0)
    harness.pass_s(11)

    small, large = pytest.approx(0.1, rel=0.2), pytest.approx(2.0, rel=0.2)
    assert harness.models()[:2] == [{"small": small}, {"small": pytest.approx(4.0, rel=0.2), "large": large}]
    assert harness.models()[-1] == {}


def test_model_named_like_an_error_code_is_a_model() -> None:
    harness = Harness()
    harness.metrics.requests = {("/chat", 200): 1, ("/chat", 400): 1, ("/chat", 429): 2}
    harness.metrics.upstream_began("429", 0.1)
    harness.pass_s()

    assert (harness.codes(), [*harness.models()[0]]) == ([{"400": 1, "429": 2}], ["429"])


def test_models_beyond_the_table_are_merged() -> None:
    harness = Harness()
    for number in range(20):
        name = f"{number:02}"
        harness.metrics.upstream_ttft_s[name] = Histogram()
        harness.metrics.upstream_ttft_s[name].observe(0.1 if number < 8 else 1.0)
    harness.pass_s()

    assert harness.models()[0] == {
        **{f"0{number}": pytest.approx(0.1, rel=0.2) for number in range(8)},
        "other": pytest.approx(1.0, rel=0.2),
    }


# Minutes


def test_minute_row_has_peaks_and_sums_of_its_seconds() -> None:
    harness = Harness()
    for second in range(1, 122):
        harness.metrics.streams = 9 if second in {30, 61} else 1
        harness.metrics.tokens += 2
        harness.metrics.upstream_errors = {"upstream_reset": second // 60}
        harness.pass_s()

    minutes = {name: harness.values(name, MINUTES, newest=START // 60 + 1) for name in ("streams", "tokens")}
    assert minutes == {"streams": [9, 9], "tokens": [120, 120]}


def test_minute_row_has_its_own_percentiles() -> None:
    harness = Harness()
    harness.metrics.ttft_s.observe(0.1, 10)
    harness.pass_s(60)
    harness.metrics.ttft_s.observe(2.0, 10)
    harness.pass_s(61)

    assert harness.values("ttft_count", MINUTES, newest=START // 60 + 1) == [10, 10]
    shortest, longest = harness.values("ttft_p50_s", MINUTES, newest=START // 60 + 1)
    assert [shortest, longest] == pytest.approx([0.1, 2.0], rel=0.2)


def test_current_minute_has_no_row() -> None:
    harness = Harness()
    harness.pass_s(60)
    assert harness.rows(MINUTES, newest=START // 60) == []
    harness.pass_s()

    assert len(harness.rows(MINUTES, newest=START // 60)) == 1


def test_idle_server_gives_complete_rows_for_the_following_minutes() -> None:
    harness = Harness()
    harness.metrics.tokens = 50
    harness.pass_s(10, idle=False)
    harness.pass_s(idle=True)
    harness.second += 200
    assert harness.values("tokens", MINUTES, newest=START // 60 + 3) == [50, 0, 0, 0]
    harness.metrics.tokens = 57
    harness.pass_s(60)

    assert harness.values("tokens") == [50, *[0] * 210, 7, *[0] * 59]
    assert harness.values("tokens", MINUTES, newest=START // 60 + 3) == [50, 0, 0, 7]


def test_server_active_again_in_the_same_minute_adds_to_its_row() -> None:
    harness = Harness()
    harness.metrics.tokens = 50
    harness.pass_s(idle=True)
    harness.second += 20
    harness.metrics.tokens = 57
    harness.pass_s(idle=True)

    assert harness.values("tokens", MINUTES, newest=START // 60) == [57]
