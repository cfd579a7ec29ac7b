"""What the server counts is what a client counts: tokens and their times, in every dialect, simulated and relayed."""

import asyncio
import json
import time
from contextlib import suppress

import pytest

from tests.end_to_end.client import fetch, metric, metric_becomes, request
from tests.end_to_end.conftest import Serve

STREAMS = 3
TOKENS = 5
BEFORE = 3
"""Tokens that an upstream sends before it pauses."""
PAUSE_S = 0.05
HELLO = [{"role": "user", "content": "Hello"}]
DIALECTS: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": HELLO, "stream_options": {"include_usage": True}},
    "/v1/completions": {"prompt": "Hello"},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {"messages": HELLO, "max_tokens": 100},
    "/api/chat": {"messages": HELLO},
    "/api/generate": {"prompt": "Hello"},
}
KEY = "ours"
FAULTS = ("", "fault=nodone@5", "fault=close@5", "fault=reset@5", "fault=error@5")


def request_data(path: str, *, model: str, sim: str = "") -> bytes:
    """A request for a stream, in the grammar of `path`."""
    if path.startswith("/stream"):
        return request(f"{path}?{sim.replace(',', '&')}")
    fields: dict[str, object] = {"messages": HELLO} if path == "/chat" else {"stream": True, **DIALECTS[path]}
    body = json.dumps({"model": model, **fields}).encode()
    return request(path, method="POST", X_API_Key=KEY, X_Sim=sim, body=body)


async def streamed(port: int, ask: bytes) -> None:
    """The whole stream, which may be broken off."""
    with suppress(ConnectionError, EOFError):
        await fetch(port, ask)


async def counted(port: int) -> tuple[float, float, float]:
    """Tokens, first tokens, and gaps between two."""
    names = ("tokenfall_tokens_total", "tokenfall_ttft_seconds_count", "tokenfall_inter_token_seconds_count")
    tokens, firsts, gaps = [await metric(port, name) for name in names]
    return tokens, firsts, gaps


ALL = (STREAMS * TOKENS, STREAMS, STREAMS * (TOKENS - 1))


@pytest.mark.parametrize("path", ["/stream-sse", "/stream-ndjson", "/stream-loop", "/chat", *DIALECTS])
async def test_each_token_of_the_simulator_is_counted_once(serve: Serve, path: str) -> None:
    server = serve(RATE_LIMIT_RPS="0")
    for times, fault in enumerate(FAULTS, 1):
        ask = request_data(path, model="sim", sim=f"tokens={TOKENS},gap=1ms,{fault}".rstrip(","))
        await asyncio.gather(*[streamed(server.port, ask) for _ in range(STREAMS)])

        assert await counted(server.port) == tuple(times * each for each in ALL), fault


@pytest.mark.parametrize("path", ["/stream-sse", "/stream-ndjson", "/stream-loop", "/chat", *DIALECTS])
async def test_a_stream_that_ends_in_an_error_counts_as_failed(serve: Serve, path: str) -> None:
    server = serve(RATE_LIMIT_RPS="0")
    for fault in ("error@2", "reset@2"):
        await streamed(server.port, request_data(path, model="sim", sim=f"tokens={TOKENS},gap=1ms,fault={fault}"))

    assert await metric(server.port, 'tokenfall_streams_ended_total{outcome="failed"}') == 2
    assert await metric(server.port, f'tokenfall_streams_failed_total{{route="{path}"}}') == 2


@pytest.mark.parametrize("path", DIALECTS)
async def test_vllms_metrics_count_responses_of_every_dialect(serve: Serve, path: str) -> None:
    server = serve(RATE_LIMIT_RPS="0", METRICS_VLLM="true")
    await streamed(server.port, request_data(path, model="sim", sim=f"tokens={TOKENS},gap=1ms"))
    fields = {name: value for name, value in DIALECTS[path].items() if name != "stream_options"}
    body = json.dumps({"model": "sim", **fields, "stream": False}).encode()
    whole = request(path, method="POST", X_API_Key=KEY, X_Sim=f"tokens={TOKENS},gap=1ms", body=body)
    assert (await fetch(server.port, whole)).status == 200
    await streamed(server.port, request_data(path, model="sim", sim=f"tokens={TOKENS},gap=1ms,fault=reset@2"))

    labels = 'engine="0",model_name="sim"'
    values = {
        name: await metric(server.port, f"vllm:{name}{{{labels}{more}}}")
        for name, more in (
            ("num_requests_running", ""),
            ("generation_tokens_total", ""),
            ("prompt_tokens_total", ""),
            ("request_success_total", ',finished_reason="stop"'),
            ("e2e_request_latency_seconds_count", ""),
        )
    }
    aborted = await metric(server.port, f'vllm:request_success_total{{{labels},finished_reason="abort"}}')
    assert values == {
        "num_requests_running": 0,
        "generation_tokens_total": 2 * TOKENS + 2,
        "prompt_tokens_total": 3,
        "request_success_total": 2,
        "e2e_request_latency_seconds_count": 3,
    }
    assert aborted == 1


@pytest.mark.parametrize("path", ["/chat", *DIALECTS])
async def test_each_token_of_an_upstream_is_counted_once(serve: Serve, path: str) -> None:
    upstream = serve(SIM=f"tokens={TOKENS},gap=1ms,gate=pause@{BEFORE}")
    url = f"http://127.0.0.1:{upstream.port}/v1"
    server = serve(RATE_LIMIT_RPS="0", UPSTREAM_URL=url, UPSTREAM_API_KEY="any", API_KEY=KEY)
    asking = asyncio.gather(*[streamed(server.port, request_data(path, model="up-1")) for _ in range(STREAMS)])
    await metric_becomes(server.port, "tokenfall_tokens_total", STREAMS * BEFORE)
    closed_s = time.monotonic()
    await asyncio.sleep(PAUSE_S)
    open_s = time.monotonic()
    opened = request("/sim/gates/pause", method="PATCH", body='{"open":true}')
    assert (await fetch(upstream.port, opened)).status == 200
    await asking

    assert [*await counted(server.port)] == [*ALL]
    between_s = await metric(server.port, "tokenfall_inter_token_seconds_sum")
    assert between_s >= STREAMS * (open_s - closed_s)  # the gap, and not the time from one frame to the next of the end
