"""A client disconnect releases stream, task, timer and descriptor. (E8, contract 4)"""

import pytest

from tests.end_to_end.client import Client, fetch, metric, metric_becomes, request
from tests.end_to_end.in_process import Running, eventually, running
from tests.end_to_end.process import ServerProcess

pytestmark = pytest.mark.every_poller

SOON_S = 2.0
"""Time limit of the release: far below the 30 s until the next token of these streams."""

CHAT = b'{"messages":[{"role":"user","content":"x"}],"model":"sim:ttft=1ms,gap=30s"%b}'


def streams(gap: str) -> dict[str, bytes]:
    """Return a request per kind of stream: the first token comes at once, the next after `gap`."""
    return {
        "sse": request(f"/stream-sse?ttft=1ms&gap={gap}"),
        "ndjson": request(f"/stream-ndjson?ttft=1ms&gap={gap}"),
        "loop": request(f"/stream-loop?ttft=1ms&gap={gap}"),
        "http/1.0": f"GET /stream-loop?ttft=1ms&gap={gap} HTTP/1.0\r\n\r\n".encode(),
        "chat": request("/chat", method="POST", body=CHAT.replace(b"30s", gap.encode()) % b""),
    }


STREAMS = streams("30s")
PENDING_REQUESTS = {
    "data": request("/api/data?ttft=30s"),
    "chat, whole": request("/chat", method="POST", body=CHAT % b',"stream":false'),
    "chat, before its first token": request("/chat", method="POST", body=CHAT.replace(b"1ms", b"30s") % b""),
}


async def streaming_client(here: Running, data: bytes) -> Client:
    """Return a client that has read the first token: unread data would turn its FIN into a RST."""
    client = await Client.connect(here.port)
    await client.send(data)
    await client.head()
    await client.receive()
    assert here.resources()["streams"] == 1
    return client


@pytest.mark.parametrize("kind", STREAMS)
async def test_reset_during_a_stream_releases_everything(kind: str) -> None:
    async with running() as here:
        client = await streaming_client(here, STREAMS[kind])
        client.reset()
        await here.wait_idle(within_s=SOON_S)


@pytest.mark.parametrize("kind", [kind for kind in STREAMS if kind != "ndjson"])
async def test_close_during_a_stream_releases_everything(kind: str) -> None:
    async with running() as here:
        client = await streaming_client(here, STREAMS[kind])
        client.close()
        await here.wait_idle(within_s=SOON_S)


async def test_close_during_an_ndjson_stream_is_noticed_at_the_second_next_token() -> None:
    async with running() as here:
        client = await streaming_client(here, request("/stream-ndjson?gap=50ms&tokens=1000"))
        client.close()
        await here.wait_idle(within_s=SOON_S)


@pytest.mark.parametrize("disconnect", [Client.close, Client.reset], ids=["close", "reset"])
@pytest.mark.parametrize("kind", PENDING_REQUESTS)
async def test_disconnect_while_the_response_is_pending_releases_everything(kind: str, disconnect: object) -> None:
    async with running() as here:
        client = await Client.connect(here.port)
        await client.send(PENDING_REQUESTS[kind])
        await eventually(lambda: here.resources()["tasks"] > 0, here.resources, within_s=SOON_S)
        client.close() if disconnect is Client.close else client.reset()
        await here.wait_idle(within_s=SOON_S)


@pytest.mark.parametrize("kind", STREAMS)
async def test_disconnect_behind_unread_bytes_is_noticed_at_the_next_token(kind: str) -> None:
    async with running() as here:
        client = await streaming_client(here, streams("50ms")[kind])
        await client.send(request("/health") * 5_000)
        client.reset()
        await here.wait_idle(within_s=SOON_S)


REQUESTS = (
    b"\r\n" + request("/stream-loop?gap=5ms"),
    request("/health") + request("/stream-sse?gap=1ms&tokens=2") + request("/version"),
    request("/chat", method="POST", body=CHAT.replace(b"30s", b"1ms") % b',"max_tokens":2'),
    request("/chat", method="POST", Transfer_Encoding="chunked") + b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
    request("/history", Expect="100-continue", Content_Length="3") + b"abc",
    b"GET /stream-ndjson?gap=1ms&tokens=1 HTTP/1.0\r\n\r\n",
    request("http://test/api/data?ttft=2ms", X_Sim="seed=1"),
    b"nonsense\r\n\r\n",
)


@pytest.mark.parametrize("data", REQUESTS, ids=range(len(REQUESTS)))
async def test_fin_or_reset_at_each_byte_of_a_request_releases_everything(data: bytes) -> None:
    async with running() as here:
        for at in range(len(data) + 1):
            for disconnect in (Client.half_close, Client.close, Client.reset):
                client = await Client.connect(here.port)
                await client.send(data[:at])
                disconnect(client)
                if disconnect is Client.half_close:
                    await client.wait_closed()
                    client.close()
        await here.wait_idle(within_s=SOON_S)
        assert here.server.metrics.stalled_readers == 0


RESPONSE_REQUESTS = (
    request("/stream-sse?gap=0ms&tokens=2"),
    request("/api/data?ttft=1ms"),
    request("/chat", method="POST", body=CHAT.replace(b"30s", b"1ms") % b',"max_tokens":1'),
)


@pytest.mark.parametrize("data", RESPONSE_REQUESTS, ids=range(len(RESPONSE_REQUESTS)))
async def test_fin_or_reset_at_each_byte_of_a_response_releases_everything(data: bytes) -> None:
    async with running() as here:
        async with await Client.connect(here.port) as client:
            await client.send(data)
            response = await client.read_response()
        size = len(response.head.raw) + len(response.body)
        for at in range(0, size, max(1, size // 150)):
            for disconnect in (Client.close, Client.reset):
                client = await Client.connect(here.port)
                await client.send(data)
                await client.exactly(at)
                disconnect(client)
        await here.wait_idle(within_s=SOON_S)


async def test_process_returns_to_its_baseline_after_three_hundred_clients(shared: ServerProcess) -> None:
    port = shared.port
    await fetch(port, request("/history"))  # loads asyncio, which keeps two descriptors
    await metric_becomes(port, "tokenfall_streams_in_flight", 0)
    await metric_becomes(port, "tokenfall_connections", 1)
    descriptors = shared.descriptors()
    for kind, data in STREAMS.items():
        clients = [await Client.connect(port) for _ in range(60)]
        for client in clients:
            await client.send(data)
        for client in clients:
            await client.head()
            await client.receive()
        assert await metric(port, "tokenfall_streams_in_flight") == 60
        for number, client in enumerate(clients):
            client.close() if number % 2 and kind != "ndjson" else client.reset()
        await metric_becomes(port, "tokenfall_streams_in_flight", 0, within_s=SOON_S)
    await metric_becomes(port, "tokenfall_connections", 1, within_s=SOON_S)
    # The server may still be closing the connection of the last metrics request.
    await eventually(lambda: shared.descriptors() <= descriptors, shared.descriptors, within_s=SOON_S)
