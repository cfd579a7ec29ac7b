"""A stalled reader takes bounded memory, is reset at the stall deadline, and does not affect others. (E2)"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.end_to_end.client import Client, metric, metric_becomes, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import Running, eventually, held_bytes, running
from tests.end_to_end.upstream import Exchange, delta, event, scripted

KIB = 1_024
CHAT = b'{"messages":[{"role":"user","content":"x"}],"model":"sim:gap=0ms,tokens=1000000","max_tokens":1000000}'
STREAMS = {
    "paced": request("/stream-loop?gap=0ms"),
    "paced ndjson": request("/stream-ndjson?gap=0ms&tokens=1000000"),
    "paced http/1.0": b"GET /stream-loop?gap=0ms HTTP/1.0\r\n\r\n",
    "live": request("/chat", method="POST", body=CHAT),
}


@asynccontextmanager
async def stalled(here: Running, data: bytes) -> AsyncIterator[Client]:
    """Request a stream without reading; yield the client once the server's writes block."""
    known = set(here.connections())
    async with await Client.connect(here.port, receive_buffer=4 * KIB) as client:
        await client.send(data)
        await eventually(
            lambda: any(each.paused for each in set(here.connections()) - known), lambda: "no write is blocked"
        )
        yield client


@pytest.mark.every_poller
@pytest.mark.parametrize("kind", STREAMS)
async def test_stalled_reader_is_reset_and_other_streams_continue(kind: str) -> None:
    async with running(STALL_TIMEOUT="500ms") as here, await Client.connect(here.port) as other:
        await other.send(request("/stream-loop?gap=20ms"))
        await other.head()
        async with stalled(here, STREAMS[kind]) as client:
            begun = time.monotonic()
            received_tokens = 0
            while here.server.metrics.stalled_readers == 0:
                await other.chunk()
                received_tokens += 1
            took_s = time.monotonic() - begun
            assert 0.4 <= took_s < 4
            assert received_tokens >= 0.5 * took_s / 0.02, f"{received_tokens} tokens in {took_s} s"
            assert await client.wait_closed() == "reset"
        other.close()
        await here.wait_idle()


@pytest.mark.every_poller
@pytest.mark.parametrize("kind", STREAMS)
async def test_bytes_held_for_a_stalled_reader_are_bounded(kind: str) -> None:
    async with running() as here:
        async with stalled(here, STREAMS[kind]):
            for _ in range(50):  # time in which the server could write more
                await asyncio.sleep(0.002)
            (connection,) = here.connections()
            assert held_bytes(connection) <= 64 * KIB
            assert connection.unsent_bytes <= 4 * KIB
        await here.wait_idle()


@pytest.mark.parametrize("kind", ["paced", "live"])
async def test_client_that_reads_again_in_time_receives_all_tokens(kind: str) -> None:
    data = {
        "paced": request("/stream-sse?gap=0ms&tokens=20000"),
        "live": request("/chat", method="POST", body=CHAT.replace(b"1000000", b"20000")),
    }[kind]
    async with running() as here:
        async with stalled(here, data) as client:
            head = await client.head()
            assert head.status == 200
            chunks = await client.chunks()
            assert len(chunks) == 20_001
            assert chunks[-1] == (b"data: [DONE]\n\n" if kind == "live" else chunks[-1])
            assert (await client.fetch(request("/health"))).status == 200
            client.close()
        await here.wait_idle()


async def test_slow_reader_gets_all_tokens_and_then_the_error() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(
            *(delta("a" * 900) for _ in range(200)), event(b'{"error":{"message":"overloaded"}}')
        )
        await exchange.send_last_chunk()

    async with scripted() as upstream, running(UPSTREAM_URL=upstream.url, UPSTREAM_RETRIES="0") as here:
        here.server.app.loopback_guard = None
        upstream.script = script
        data = request("/chat", method="POST", body=CHAT.replace(b"sim:gap=0ms,tokens=1000000", b"up-1"))
        async with stalled(here, data) as client:
            await client.head()
            *texts, last = await client.chunks()
        assert sum(text.count(b"a" * 900) for text in texts) == 200
        assert b"upstream_stream_error" in last
        assert b"[DONE]" not in last
        await here.wait_idle()


@pytest.mark.parametrize("kind", ["paced", "live"])
async def test_slow_reader_gets_the_shutdown_frame_at_the_end_of_the_drain(kind: str) -> None:
    async with running() as here, stalled(here, STREAMS[kind]) as client:
        stopping = asyncio.ensure_future(here.server.stop())
        await client.head()
        chunks = await client.chunks()
        assert b"shutting_down" in chunks[-1]
        await stopping


async def test_reader_of_a_few_bytes_counts_as_stalled(serve: Serve) -> None:
    """The reads are too small for a TCP window update."""
    server = serve(STALL_TIMEOUT="500ms")
    async with await Client.connect(server.port, receive_buffer=4 * KIB) as client:
        await client.send(request("/stream-loop?gap=0ms"))
        begun = time.monotonic()
        while await metric(server.port, "tokenfall_stalled_readers_total") == 0:
            assert time.monotonic() - begun < 8
            client.buffered = b""
            client.sock.recv(1)
            await asyncio.sleep(0.1)
    await metric_becomes(server.port, "tokenfall_streams_in_flight", 0)


async def test_hundred_stalled_clients_are_reset_without_memory_growth(serve: Serve) -> None:
    server = serve(STALL_TIMEOUT="500ms")
    port = server.port
    assert (await metric(port, "tokenfall_stalled_readers_total")) == 0
    before = server.resident_bytes()
    clients = [await Client.connect(port, receive_buffer=4 * KIB) for _ in range(100)]
    try:
        for client in clients:
            await client.send(request("/stream-loop?gap=1ms"))
        await metric_becomes(port, "tokenfall_stalled_readers_total", 100)
        assert server.resident_bytes() - before < 100 * 16 * KIB
    finally:
        for client in clients:
            client.close()
    await metric_becomes(port, "tokenfall_streams_in_flight", 0)
    await metric_becomes(port, "tokenfall_connections", 1)


@pytest.mark.every_poller
async def test_unread_non_streaming_response_is_reset() -> None:
    async with running(STALL_TIMEOUT="500ms") as here:
        async with await Client.connect(here.port, receive_buffer=4 * KIB) as client:
            for _ in range(20):
                client.send_now(request("/web/app.js") * 10)
                await asyncio.sleep(0)
            await eventually(lambda: here.server.metrics.stalled_readers == 1, lambda: "no stalled reader is counted")
            assert await client.wait_closed() == "reset"
        await here.wait_idle()


@pytest.mark.every_poller
async def test_unread_response_before_a_close_is_reset() -> None:
    async with running(STALL_TIMEOUT="500ms") as here:
        async with await Client.connect(here.port, receive_buffer=4 * KIB) as client:
            requests = request("/web/app.js") * 20 + request("/web/app.js", Connection="close")
            await client.send(requests)
            await eventually(lambda: not here.connections(), here.resources, within_s=6)
        await here.wait_idle()
