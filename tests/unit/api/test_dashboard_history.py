"""The history document: columns, names and size."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tokenfall.api.dashboard_history import RANGES, Trend, dashboard_history, range_of, trend_of
from tokenfall.errors import InvalidRequest
from tokenfall.http.response import Response
from tokenfall.metrics.history import MINUTES, SECONDS, MetricsHistory
from tokenfall.metrics.registry import Metrics
from tokenfall.metrics.sampler import MetricsSampler
from tokenfall.slicing.computation import at_once

from tests.doubles.memory import ample_memory
from tests.doubles.requests import request

API = Path(__file__).parents[3] / "docs" / "api.md"
NOW_S = 90_000.4
AT = 1_795_205_398.5


def sampled(seconds: int, *, until_s: int = int(NOW_S), codes: int = 1) -> MetricsHistory:
    """The history of a busy server that started this many seconds ago."""
    history, metrics = MetricsHistory(), Metrics()
    sampler = MetricsSampler(history, metrics, now_s=until_s - seconds, page_paths=frozenset())
    metrics.streams, metrics.connections, metrics.resident_bytes = 3, 4, 20 * 2**20
    metrics.request_memory_bytes, metrics.response_memory_bytes = 2**20, 2**10
    for second in range(until_s - seconds + 1, until_s + 1):
        metrics.tokens += 30
        for code in range(codes):
            metrics.requests["/chat", 400 + code] = metrics.requests.get(("/chat", 400 + code), 0) + 6
        metrics.ttft_s.observe(0.1 + second % 7 / 100)
        metrics.upstream_began("llama", 0.25)
        sampler.sample(metrics, second, idle=False)
    return history


def decoded_trend(history: MetricsHistory, name: str = "15m", *, now_s: float = NOW_S) -> Trend:
    """The decoded document; asserts that all columns have equal length."""
    document = at_once(trend_of(history, name, now_s=now_s, at=AT))
    assert tuple(json.loads(document)) == Trend.__struct_fields__
    trend = msgspec.json.decode(document, type=Trend, strict=True)
    groups = trend.errors, trend.upstream_errors, trend.upstream_ttft_p90_s
    columns: list[Any] = [getattr(trend, each) for each in Trend.__struct_fields__]
    columns = [each for each in columns if isinstance(each, list)] + [
        each for group in groups for each in group.values()
    ]
    assert {len(each) for each in columns} == {len(trend.streams)}
    return trend


def test_seconds_are_the_rows_up_to_this_one() -> None:
    trend = decoded_trend(sampled(1000))

    assert (trend.range, trend.step_s, trend.at) == ("15m", 1, AT - 0.4)
    assert trend.streams == [3] * 900
    assert (trend.connections[-1], trend.resident_bytes[-1]) == (4, 20 * 2**20)
    assert (trend.request_memory_bytes[-1], trend.response_memory_bytes[-1]) == (2**20, 2**10)
    assert (trend.tokens_per_s[-1], trend.requests_per_s[-1]) == (30, 6)
    assert trend.ttft_count[-1] == 10
    assert trend.ttft_p50_s[-1] == pytest.approx(0.13, rel=0.2)
    assert (trend.inter_token_count[-1], trend.inter_token_p50_s[-1]) == (0, None)
    assert trend.errors == {"400": [6] * 900}
    assert trend.upstream_errors == {}
    assert {*trend.upstream_ttft_p90_s} == {"llama"}


def test_minutes_are_complete_and_have_rates_per_second() -> None:
    trend = decoded_trend(sampled(600), "1h", now_s=NOW_S + 1)

    assert (trend.step_s, trend.at) == (60, AT - 1.4)
    assert trend.tokens_per_s == [30] * 9 + [None], "the next sample writes the row of the last minute"
    assert trend.errors == {"400": [6] * 9 + [None]}
    assert trend.ttft_count == [60] * 9 + [None]


@pytest.mark.parametrize(("name", "count"), [("2m", 120), ("15m", 900), ("1h", 60), ("24h", 1440)])
def test_range_has_its_length(name: str, count: int) -> None:
    history = MetricsHistory()
    for ring in (SECONDS, MINUTES):
        newest = int(NOW_S) // ring.step_s - (ring is MINUTES)
        for number in range(newest - ring.rows, newest + 1):
            history.write([0] * 44, ring, number=number, idle=False)

    assert len(decoded_trend(history, name).streams) == count


def test_columns_are_empty_before_the_first_sample() -> None:
    assert decoded_trend(MetricsHistory()).streams == []


def test_errors_of_the_server_and_of_the_upstream_are_separate() -> None:
    history, metrics = MetricsHistory(), Metrics()
    sampler = MetricsSampler(history, metrics, now_s=NOW_S - 1, page_paths=frozenset())
    metrics.requests = {("/chat", status): 1 for status in (200, 429)}
    metrics.streams_failed = {"/chat": 2}
    metrics.upstream_errors = {"upstream_reset": 3}
    sampler.sample(metrics, NOW_S, idle=False)
    trend = decoded_trend(history)

    assert (trend.errors, trend.upstream_errors) == ({"429": [1], "failed": [2]}, {"upstream_reset": [3]})


def test_codes_not_in_the_table_are_errors() -> None:
    errors = decoded_trend(sampled(1, codes=20)).errors

    assert len(errors) == 16
    assert errors["other"] == [6 * 5]


def test_longest_document_is_bounded_and_encoded_in_slices() -> None:
    history = sampled(900, codes=20)
    slices, body = 0, b""
    work = trend_of(history, "15m", now_s=NOW_S, at=AT)
    try:
        while True:
            next(work)
            slices += 1
    except StopIteration as end:
        body = end.value

    assert len(body) < 300_000
    assert slices > 30


@pytest.mark.parametrize("query", ["", "?range=15m", "?other=1"])
def test_default_range_is_15_minutes(query: str) -> None:
    assert range_of(request(f"/board/history{query}")) == "15m"


@pytest.mark.parametrize("name", ["", "5m", "15M", "x" * 100])
def test_unknown_range_error_lists_the_valid_ranges(name: str) -> None:
    with pytest.raises(InvalidRequest, match="range takes 2m, 15m, 1h, 24h, not ") as caught:
        range_of(request(f"/board/history?range={name}"))
    assert len(caught.value.message) < 80


async def test_handler_returns_the_history_up_to_its_clock() -> None:
    def get(name: str) -> Any:
        incoming = request(f"/board/history?range={name}")
        return dashboard_history(incoming, sampled(5), now_s=NOW_S, memory=ample_memory(), caller="a")

    response = get("2m")
    if asyncio.iscoroutine(response):
        response = await response

    assert isinstance(response, Response)
    assert json.loads(response.body)["tokens_per_s"] == [30] * 5
    with pytest.raises(InvalidRequest):
        get("1d")


def test_history_example_in_api_docs_has_the_same_fields() -> None:
    (example,) = re.findall(r'\n(\{"range":.*?\})\n```', API.read_text(encoding="utf-8"), re.DOTALL)

    assert {*re.findall(r'"([a-z_0-9]+)":', example)} - {"429", "failed", "upstream_timeout", "llama"} <= {
        *Trend.__struct_fields__
    }
    assert [name for name in RANGES if f"`{name}`" not in API.read_text(encoding="utf-8")] == []
