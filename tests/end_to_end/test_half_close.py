"""A client that has closed its sending side and still reads. (E8)"""

import asyncio
import json
import time

import pytest

from tokenfall.http.half_closed import PROBES_S

from tests.end_to_end.client import Client, ClientResponse, request
from tests.end_to_end.in_process import running
from tests.end_to_end.test_framing import frames

pytestmark = pytest.mark.every_poller

PING = b": ping\n\n"
CHAT = b'{"messages":[{"role":"user","content":"x"}],"model":"sim:gap=40ms,tokens=5"}'


async def received(port: int, data: bytes, *, after_first: bool) -> ClientResponse:
    """The response to a client that half-closes after the first token, or in one packet with the request."""
    async with await Client.connect(port) as client:
        await client.send(data)
        if after_first:
            head = await client.head()
            client.buffered = await client.receive()
            client.half_close()
            client.buffered = head.raw + client.buffered
        else:
            client.half_close()
        answer = await client.read_response()
        assert await client.wait_closed() == "closed"
        return answer


@pytest.mark.parametrize("after_first", [False, True], ids=["at once", "after the first token"])
@pytest.mark.parametrize("path", ["/stream-sse", "/stream-ndjson", "/stream-loop"])
async def test_a_finite_stream_finishes(path: str, after_first: bool) -> None:
    async with running() as here:
        answer = await received(here.port, request(f"{path}?gap=40ms&tokens=5"), after_first=after_first)
        assert answer.body.replace(PING, b"") == b"".join(frames(path, 5))
        assert answer.body.count(PING) <= (0 if path == "/stream-ndjson" else 3)
        await here.wait_idle()


async def test_chat_after_its_first_token_finishes_after_a_half_close() -> None:
    async with running() as here:
        answer = await received(here.port, request("/chat", method="POST", body=CHAT), after_first=True)
        assert answer.body.endswith(b"data: [DONE]\n\n")
        async with await Client.connect(here.port) as client:
            history = json.loads((await client.fetch(request("/history"))).body)
        assert [message.get("status") for message in history] == [None, None]
        await here.wait_idle()


@pytest.mark.parametrize("path", ["/health", "/api/data", "/version", "/web", "/nowhere", "/history", "/conversations"])
async def test_immediate_response_is_sent_after_a_half_close(path: str) -> None:
    async with running(RATE_LIMIT_RPS="1000", RATE_LIMIT_BURST="1000") as here:
        for _ in range(20):  # where the FIN is read depends on who is quicker
            assert (await received(here.port, request(path), after_first=False)).status in {200, 404}
        await here.wait_idle()


@pytest.mark.parametrize(
    "target", ["/stream-loop?gap=20ms", "/stream-loop?gap=1ms", "/stream-loop?gap=0ms", "/stream-loop?gap=30s&ttft=1ms"]
)
async def test_an_endless_stream_stops_after_its_grace(target: str) -> None:
    async with running() as here:
        async with await Client.connect(here.port) as client:
            await client.send(request(target))
            await client.head()
            await client.chunk()
            client.half_close()
            begun = time.monotonic()
            async with asyncio.timeout(6):
                await client.wait_closed()
            assert 0.15 <= time.monotonic() - begun < 4
        await here.wait_idle()


async def test_a_reset_after_a_half_close_is_noticed_before_the_next_token() -> None:
    async with running() as here, await Client.connect(here.port) as client:
        await client.send(request("/stream-sse?ttft=1ms&gap=30s"))
        await client.head()
        await client.receive()
        client.half_close()
        for _ in range(1 + len(PROBES_S)):
            await client.until(PING)
        assert here.resources()["streams"] == 1
        client.reset()
        await here.wait_idle(within_s=2.0)


async def test_incomplete_request_is_dropped_after_a_half_close() -> None:
    async with running() as here:
        for data in (b"", b"GET", request("/health")[:-2], request("/chat", method="POST", Content_Length="3") + b"ab"):
            async with await Client.connect(here.port) as client:
                await client.send(data)
                client.half_close()
                await client.wait_closed()
        await here.wait_idle()
