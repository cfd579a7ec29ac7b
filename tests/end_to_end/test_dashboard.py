"""The dashboard page, its events and history, and the replacement of the simulator's settings."""

import asyncio
import gzip
import json
import time
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.end_to_end.chatting import PING, Stream, error_of, start_stream, streaming
from tests.end_to_end.client import PATIENCE_S, Client, fetch, metric, metric_becomes, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import eventually, running
from tests.end_to_end.test_framing import frames
from tests.end_to_end.test_workers import clients, clients_by_worker

WATCH = request("/board/events")
ENDLESS = request("/stream-loop?gap=20ms")
MANY = 20
"""Number of streams with which each of two workers has one, except with probability 1 in 500,000."""


async def next_event(stream: Stream) -> dict[str, Any]:
    """Return the next event, skipping heartbeats."""
    frame = await stream.frame()
    while frame == PING:
        frame = await stream.frame()
    assert frame.startswith(b"data: "), frame
    assert frame.endswith(b"\n\n")
    stats: dict[str, Any] = json.loads(frame.removeprefix(b"data: "))
    return stats


async def final_error(stream: Stream) -> dict[str, Any]:
    """Read the event stream to its end and return its error."""
    async with asyncio.timeout(PATIENCE_S):
        return error_of(b"".join(await stream.frames()))


def put(sim: str, **headers: str) -> bytes:
    return request("/sim", method="PUT", body=json.dumps({"sim": sim}), Content_Type="application/json", **headers)


# Events


async def test_dashboard_stream_starts_at_once_with_an_event_per_second(serve: Serve) -> None:
    server = serve()
    begun_s = time.monotonic()
    async with streaming(server.port, WATCH) as stream:
        assert await stream.frame() == PING
        assert time.monotonic() - begun_s < 0.9
        assert stream.head.headers["content-type"] == "text/event-stream"
        assert stream.head.headers["cache-control"] == "no-cache, no-transform"
        first, first_s = await next_event(stream), time.monotonic()
        second, second_s = await next_event(stream), time.monotonic()
    assert 0.98 < first_s - begun_s < 2
    assert 1.98 < second_s - begun_s < 3
    assert second["uptime_s"] - first["uptime_s"] == pytest.approx(1, abs=0.5)
    assert second["at"] - first["at"] == pytest.approx(1, abs=0.5)
    assert abs(first["at"] - time.time()) < 5
    assert first["workers"] == 1
    assert first["connections"] >= 1
    assert first["resident_bytes"] > 8 * 1024**2


async def test_dashboard_events_count_running_streams(serve: Serve) -> None:
    server = serve()
    async with streaming(server.port, WATCH) as dashboard, await start_stream(server.port, ENDLESS):
        async with asyncio.timeout(PATIENCE_S):
            while (await next_event(dashboard))["inter_token"] is None:
                pass
        stats = await next_event(dashboard)
    assert stats["streams"] == 1
    assert 0 < stats["tokens_per_s"] < 1_000
    assert stats["tokens"] > 2
    assert stats["ttft"]["count"] == 1
    assert 0 < stats["inter_token"]["p50_s"] <= stats["inter_token"]["p90_s"] <= stats["inter_token"]["p99_s"]
    assert stats["connections"] == 2
    assert stats["ticker_late"]["count"] > 0
    assert stats["streams_ended"] == {}


async def test_dashboard_events_count_ended_requests(serve: Serve) -> None:
    server = serve()
    async with streaming(server.port, WATCH) as dashboard:
        assert (await fetch(server.port, request("/stream-sse?gap=1ms&tokens=3"))).status == 200
        assert (await fetch(server.port, request("/nothing"))).status == 404
        stats = await next_event(dashboard)
    assert stats["requests"] == [
        {"route": "/stream-sse", "status": 200, "count": 1, "failed": 0},
        {"route": "", "status": 404, "count": 1, "failed": 0},
    ]
    assert stats["streams_ended"] == {"complete": 1}
    assert stats["requests_per_s"] == pytest.approx(2, abs=0.3)
    assert (stats["tokens"], stats["streams"]) == (await metric(server.port, "tokenfall_tokens_total"), 0)


async def test_dashboard_events_omit_the_dashboards_requests(serve: Serve) -> None:
    port = serve().port
    async with streaming(port, WATCH) as dashboard, streaming(port, WATCH):
        await next_event(dashboard)
        stats = await next_event(dashboard)
    assert (stats["streams"], stats["tokens"], stats["tokens_per_s"]) == (0, 0, 0.0)
    assert (stats["ttft"], stats["inter_token"], stats["streams_ended"]) == (None, None, {})
    assert stats["connections"] == 2

    await metric_becomes(port, 'tokenfall_requests_total{route="/board/events",status="200"}', 2)
    for name in ("streams_in_flight", "tokens_total", "ttft_seconds_count", "inter_token_seconds_count"):
        assert await metric(port, f"tokenfall_{name}") == 0, name
    assert b"tokenfall_streams_ended_total{" not in (await fetch(port, request("/metrics"))).body


async def test_two_viewers_get_the_same_events(serve: Serve) -> None:
    port = serve().port
    async with streaming(port, WATCH) as first, streaming(port, WATCH) as second:
        assert [await next_event(first) for _ in range(2)] == [await next_event(second) for _ in range(2)]


@pytest.mark.every_poller
async def test_viewer_disconnect_releases_everything() -> None:
    async with running() as here:
        async with streaming(here.port, WATCH) as dashboard:
            await next_event(dashboard)
            assert here.resources() | {"streams": 0, "tasks": 1, "on the wheel": 1} == here.resources()
        await here.wait_idle()


async def test_dashboard_events_need_the_key_and_its_page_does_not(serve: Serve) -> None:
    port = serve(API_KEY="k-1").port
    for data in (WATCH, request("/board/events", X_API_Key="k-2"), put("gap=1s")):
        refused = await fetch(port, data)
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == "Bearer"
    async with streaming(port, request("/board/events", Authorization="Bearer k-1")) as dashboard:
        assert (await next_event(dashboard))["workers"] == 1
    assert (await fetch(port, put("gap=1s", X_API_Key="k-1"))).status == 200
    assert (await fetch(port, request("/board"))).status == 200


async def test_dashboard_events_add_up_all_workers(serve: Serve) -> None:
    server = serve(WORKERS="2", HISTORY_URL="sqlite:///chat.db")
    async with clients(server.port, request("/stream-loop?gap=50ms"), count=MANY) as begun:
        assert all(clients_by_worker(server, begun).values())
        async with streaming(server.port, WATCH) as dashboard:
            await next_event(dashboard)
            stats = await next_event(dashboard)
        assert (stats["workers"], stats["streams"]) == (2, MANY)
        assert stats["connections"] == MANY + 1
        assert stats["tokens"] > 2 * MANY
        assert stats["tokens_per_s"] > 0
        assert stats["resident_bytes"] > 2 * 8 * 1024**2
        refused = await fetch(server.port, put("gap=1s"))
        assert refused.status == 400
        assert "WORKERS=1" in json.loads(refused.body)["detail"]


# History


async def dashboard_history(port: int, name: str = "15m") -> dict[str, Any]:
    """Return the dashboard history of a range."""
    response = await fetch(port, request(f"/board/history?range={name}"))
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    trend: dict[str, Any] = json.loads(response.body)
    return trend


@pytest.mark.parametrize("workers", [{}, {"WORKERS": "2", "HISTORY_URL": "sqlite:///chat.db"}], ids=["one", "two"])
async def test_history_shows_an_earlier_incident(serve: Serve, workers: dict[str, str]) -> None:
    port = serve(**workers).port
    async with await Client.connect(port) as client:
        assert (await client.fetch(request("/stream-sse?gap=1ms&tokens=5"))).status == 200
        assert (await client.fetch(request("/nothing"))).status == 404
    async with clients(port, request("/stream-sse?gap=20ms&tokens=5&fault=close@3"), count=3):
        await metric_becomes(port, 'tokenfall_streams_ended_total{outcome="failed"}', 3)
    await asyncio.sleep(2.2)  # until the sampler has stopped
    trend = await dashboard_history(port)

    assert abs(trend["at"] - time.time()) < 5
    assert sum(value or 0 for value in trend["tokens_per_s"]) == 5 + 3 * 3
    assert {code: sum(value or 0 for value in column) for code, column in trend["errors"].items()} == {
        "404": 1,
        "failed": 3,
    }
    assert max(value or 0 for value in trend["ttft_count"]) == 4
    assert (await dashboard_history(port, "24h"))["step_s"] == 60
    refused = await fetch(port, request("/board/history?range=1d"))
    assert refused.status == 400
    assert json.loads(refused.body)["detail"] == "range takes 2m, 15m, 1h, 24h, not '1d'"


async def test_idle_server_is_not_sampled() -> None:
    async with running() as here:
        async with await Client.connect(here.port) as client:
            await client.fetch(request("/livez"))
            assert here.server.sampling.slot is not None
        await eventually(lambda: here.server.sampling.slot is None, lambda: "the sampler is still scheduled")
        assert here.server.wheel.entries == 0


# Shutdown


async def test_viewer_does_not_delay_the_drain(serve: Serve) -> None:
    server = serve(DRAIN_TIMEOUT="20s")
    async with streaming(server.port, WATCH) as dashboard:
        await next_event(dashboard)
        begun_s = time.monotonic()
        server.signal()
        error = await final_error(dashboard)
        assert (error["code"], error["message"]) == ("shutting_down", "the server is shutting down")
        assert error["retry_after"] > 0
        assert await dashboard.client.wait_closed() == "closed"
        assert server.wait() == 0
        assert time.monotonic() - begun_s < 1 + 2


async def test_viewer_gets_the_shutdown_frame_also_in_a_short_drain(serve: Serve) -> None:
    server = serve(DRAIN_TIMEOUT="50ms")
    async with streaming(server.port, WATCH) as dashboard:
        await next_event(dashboard)
        server.signal()
        assert (await final_error(dashboard))["code"] == "shutting_down"
        assert server.wait() == 0


# Default simulator settings


async def test_replaced_simulator_settings_apply_to_streams(serve: Serve) -> None:
    port = serve(SIM="gap=1ms,tokens=4").port
    async with await Client.connect(port) as client:
        assert (await client.fetch(request("/stream-sse"))).body == b"".join(frames("/stream-sse", 4))
        response = await client.fetch(put("gap=0ms,tokens=2"))
        assert (response.status, json.loads(response.body)["sim"]) == (200, "gap=0s,tokens=2..2")
        assert (await client.fetch(request("/stream-sse"))).body == b"".join(frames("/stream-sse", 2))
        assert (await client.fetch(put("tokens=3"))).status == 200
        begun_s = time.monotonic()
        assert (await client.fetch(request("/stream-sse"))).body == b"".join(frames("/stream-sse", 3))
        assert time.monotonic() - begun_s >= 0.25, "the previous gap still applies"
        assert (await client.fetch(put("gap=fast"))).status == 400
        assert json.loads((await client.fetch(request("/sim"))).body)["sim"] == "gap=0.1s,tokens=3..3"
        assert (await client.fetch(request("/sim", method="DELETE"))).status == 204
        assert (await client.fetch(request("/stream-sse"))).body == b"".join(frames("/stream-sse", 4))


# The page


async def test_dashboard_and_its_files_have_a_strict_csp(port: int) -> None:
    async with await Client.connect(port) as client:
        page = await client.fetch(request("/board"))
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        text = page.body.decode()
        named = [piece.partition('"')[0] for piece in text.split('src="')[1:]]
        assert "web/dashboard.js" in named
        for path in ("/board", *(urljoin("/board", name) for name in named)):
            plain, packed = [
                await client.fetch(request(path, Accept_Encoding=coding)) for coding in ("identity", "gzip")
            ]
            assert (plain.status, packed.status) == (200, 200), path
            assert gzip.decompress(packed.body) == plain.body
            assert (packed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
            for response in (plain, packed):
                policy = response.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "connect-src 'self'" in policy
                assert "unsafe" not in policy
                assert response.headers["vary"] == "accept-encoding"
        assert "<script>" not in text
        assert "style=" not in text


@pytest.mark.parametrize("path", ["/board/event", "/board/events/", "/web/dashboard.html", "/web/index.html"])
async def test_other_dashboard_paths_are_not_found(port: int, path: str) -> None:
    assert (await fetch(port, request(path))).status == 404
