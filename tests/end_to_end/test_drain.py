"""SIGTERM: streams may finish; those incomplete at the end of the drain time end with an error. (S1, contract 6)"""

import asyncio
import json
import re
import signal
import time
from contextlib import AsyncExitStack

import pytest

from tokenfall.conversations import Conversation

from tests.end_to_end.client import Client, ClientResponse, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import running
from tests.end_to_end.process import ServerProcess
from tests.end_to_end.test_framing import frames

DRAIN_S = 1.2
CHAT = b'{"messages":[{"role":"user","content":"x"}],"model":"sim:gap=50ms,tokens=100"%b}'
ERROR_FRAME = b'event: error\ndata: {"error":{"code":"shutting_down",'


async def started_client(port: int, data: bytes) -> Client:
    """Send `data` and return the client once the response has begun."""
    client = await Client.connect(port)
    await client.send(data)
    client.buffered = await client.receive()
    return client


async def start_draining(server: ServerProcess) -> None:
    """Send SIGTERM and return once `/readyz` is 503."""
    server.signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        while (await fetch(server.port, request("/readyz"))).status != 503:
            pass


async def test_drain_finishes_streams_and_refuses_new_requests(serve: Serve) -> None:
    server = serve(DRAIN_TIMEOUT=f"{DRAIN_S}s")
    port = server.port
    idle = await Client.connect(port)
    assert (await idle.fetch(request("/health"))).status == 200
    short = await started_client(port, request("/stream-sse?gap=50ms&tokens=10"))
    long = {
        path: await started_client(port, request(f"{path}?gap=50ms&tokens=1000"))
        for path in ("/stream-sse", "/stream-ndjson", "/stream-loop")
    }
    old = await started_client(port, b"GET /stream-sse?gap=50ms&tokens=1000 HTTP/1.0\r\n\r\n")
    chat = await started_client(port, request("/chat", method="POST", body=CHAT % b""))
    whole = await Client.connect(port)
    await whole.send(request("/chat", method="POST", body=CHAT % b',"stream":false'))

    signalled = time.monotonic()
    await start_draining(server)
    assert await idle.read_to_end() == b""
    assert time.monotonic() - signalled < DRAIN_S, "the idle connection was not closed at once"
    await check_refuses_new_work(port)
    response = await short.read_response()
    assert response.body == b"".join(frames("/stream-sse", 10))
    assert await short.wait_closed() == "closed"
    assert time.monotonic() - signalled < DRAIN_S

    responses = {path: await client.read_response() for path, client in long.items()}
    after_s = time.monotonic() - signalled
    assert after_s >= DRAIN_S - 0.05, "streams ended before the drain time was over"
    check_cut(responses["/stream-sse"], ERROR_FRAME)
    check_cut(responses["/stream-loop"], ERROR_FRAME)
    check_cut(responses["/stream-ndjson"], b'{"error":"the server is shutting down","code":"shutting_down"}\n')
    check_cut(await old.read_response(), ERROR_FRAME)
    check_cut(await chat.read_response(), ERROR_FRAME)
    refused = await whole.read_response()
    assert refused.status == 503
    assert server.wait() == 0
    assert time.monotonic() - signalled < DRAIN_S + 1
    for client in (idle, short, *long.values(), old, chat, whole):
        client.close()


async def check_refuses_new_work(port: int) -> None:
    """Check that new work is refused with 503 and that probes are served."""
    for data in (
        request("/stream-sse"),
        request("/chat", method="POST", body=CHAT % b""),
        request("/api/data"),
        request("/history"),
    ):
        response = await fetch(port, data)
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["connection"] == "close"
        assert json.loads(response.body)["code"] == "shutting_down"
    for path, status in (("/readyz", 503), ("/health", 200), ("/livez", 200), ("/metrics", 200)):
        assert (await fetch(port, request(path))).status == status


def check_cut(response: ClientResponse, shutdown_frame: bytes) -> None:
    """Check that the response ends with the shutdown frame and does not look complete."""
    assert shutdown_frame in response.body
    end = response.body[response.body.index(shutdown_frame) :]
    assert end.count(b"\n") == shutdown_frame.count(b"\n") + (2 if shutdown_frame.startswith(b"event") else 0)
    assert b"[DONE]" not in response.body
    assert b'"finish":true' not in response.body


async def test_drain_without_streams_ends_at_once(serve: Serve) -> None:
    server = serve()
    async with await Client.connect(server.port) as idle, await Client.connect(server.port) as silent:
        await idle.fetch(request("/health"))
        begun_s = time.monotonic()
        server.signal()
        assert await idle.read_to_end() == b""
        assert await silent.read_to_end() == b""
        assert server.wait() == 0
        assert time.monotonic() - begun_s < 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
async def test_drain_ends_with_the_last_stream(serve: Serve, number: signal.Signals) -> None:
    server = serve(DRAIN_TIMEOUT="20s")
    async with await started_client(server.port, request("/stream-sse?gap=50ms&tokens=10")) as client:
        begun_s = time.monotonic()
        server.signal(number)
        assert (await client.read_response()).body == b"".join(frames("/stream-sse", 10))
        assert server.wait() == 0
        assert time.monotonic() - begun_s < 4


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
async def test_unhandled_signal_is_ignored(serve: Serve, number: signal.Signals) -> None:
    server = serve()
    async with await started_client(server.port, request("/stream-sse?gap=20ms&tokens=10")) as client:
        server.signal(number)
        assert (await client.read_response()).body == b"".join(frames("/stream-sse", 10))
        assert (await fetch(server.port, request("/readyz"))).status == 200


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_ends_the_drain_at_once(serve: Serve, second: signal.Signals) -> None:
    server = serve(DRAIN_TIMEOUT="20s")
    async with await started_client(server.port, request("/stream-loop?gap=50ms")) as client:
        await start_draining(server)
        begun_s = time.monotonic()
        server.signal(second)
        await client.wait_closed()
        server.expected_status = server.wait()
        assert server.expected_status in {128 + signal.SIGINT, 128 + signal.SIGTERM}
        assert time.monotonic() - begun_s < 3


async def test_two_simultaneous_signals_end_the_server_with_a_signal_status(serve: Serve) -> None:
    server = serve(HISTORY_URL="sqlite:///chat.db")
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        server.signal(number)
    server.expected_status = server.wait()

    assert server.expected_status == 128 + signal.SIGINT


async def test_stalled_client_does_not_delay_the_drain(serve: Serve) -> None:
    server = serve(DRAIN_TIMEOUT="500ms")
    async with await Client.connect(server.port, receive_buffer=4_096) as client:
        await client.send(request("/stream-loop?gap=0ms"))
        await client.head()
        begun_s = time.monotonic()
        await start_draining(server)
        assert server.wait() == 0
        assert time.monotonic() - begun_s < 0.5 + 0.5 + 1  # the drain time and the time for the shutdown frames


async def test_incomplete_request_does_not_delay_the_drain(serve: Serve) -> None:
    server = serve(DRAIN_TIMEOUT="500ms")
    openings = (b"GET /hea", request("/chat", method="POST", Content_Length="5") + b"ab")
    clients = [await client_with_opening(server.port, opening) for opening in openings]
    begun_s = time.monotonic()
    server.signal()
    assert server.wait() == 0
    assert time.monotonic() - begun_s < 0.5 + 1
    for client in clients:
        assert client.send_now is not None
        client.close()


async def client_with_opening(port: int, opening: bytes) -> Client:
    client = await Client.connect(port)
    await client.send(opening)
    await fetch(port, request("/health"))  # after this response the server has read the opening
    return client


@pytest.mark.every_poller
async def test_hundred_streams_of_each_kind_get_a_shutdown_frame_and_release_everything() -> None:
    datas = [
        request("/stream-loop?gap=30s&ttft=1ms"),
        request("/chat", method="POST", body=(CHAT % b"").replace(b"gap=50ms", b"ttft=1ms,gap=30s")),
    ]
    async with running(DRAIN_TIMEOUT="250ms") as here:
        clients = [await started_client(here.port, data) for data in datas for _ in range(100)]
        begun_s = time.monotonic()
        _, *responses = await asyncio.gather(here.server.stop(), *(client.read_response() for client in clients))
        assert time.monotonic() - begun_s < 0.25 + 1
        for response in responses:
            assert response is not None
            check_cut(response, ERROR_FRAME)
        for client in clients:
            client.close()


@pytest.mark.parametrize("timing", ["gap=20ms", "gap=20ms~0.5", "gap=20ms,gate=closed@3"])
@pytest.mark.parametrize("relayed", [False, True])
async def test_error_event_of_a_responses_stream_has_the_next_number(timing: str, relayed: bool) -> None:
    body = b'{"model":"m","stream":true,"input":"Hi"}'
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(running(SIM=f"ttft=1ms,tokens=1000,{timing}", DRAIN_TIMEOUT="200ms"))
        if relayed:
            url = f"http://127.0.0.1:{here.port}/v1"
            here = await stack.enter_async_context(running(UPSTREAM_URL=url, DRAIN_TIMEOUT="200ms"))
        data = request("/v1/responses", method="POST", body=body).replace(b"Host: test", b"Host: localhost")
        client = await started_client(here.port, data)
        _, response = await asyncio.gather(here.server.stop(), client.read_response())
        client.close()
    numbers = [int(number) for number in re.findall(rb'"sequence_number":(\d+)', response.body)]

    assert response.body.rpartition(b"event: ")[2].startswith(b"error\n")
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 4


@pytest.mark.every_poller
async def test_turn_ended_by_the_drain_is_stored_as_interrupted() -> None:
    async with running(DRAIN_TIMEOUT="200ms") as here:
        client = await started_client(here.port, request("/chat", method="POST", body=CHAT % b""))
        _, response = await asyncio.gather(here.server.stop(), client.read_response())
        client.close()
        texts = [
            json.loads(line[6:])["content"] for line in response.body.split(b"\n") if line.startswith(b'data: {"con')
        ]
        assert here.server.parts.history is not None
        (turn,) = await here.server.parts.history.turns(Conversation("", "default")) or ()
        assert turn.status == "interrupted"
        assert turn.answer.content == "".join(texts)
        assert texts
