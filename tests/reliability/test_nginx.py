"""Two servers on one Redis behind nginx with deploy/nginx.conf: no buffering, disconnects, resumption. (E2, U4, D3)"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.chatting import DONE as STREAM_DONE
from tests.end_to_end.chatting import chat
from tests.end_to_end.client import PATIENCE_S, Client, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.end_to_end.upstream import DONE, FINISH, Exchange, Upstream, delta, scripted
from tests.reliability.nginx import Nginx
from tests.reliability.rows import Tally
from tests.stores.redis_server import RedisServer

TOKENS = 50
KEY = {"X_API_Key": "key"}
CLOSED_WITHIN_S = 1.0


class SteppedUpstream:
    """An upstream that sends a token only after the client has received the previous one."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[None] = asyncio.Queue()
        self.disconnected = asyncio.Event()

    async def token_by_token(self, exchange: Exchange) -> None:
        await exchange.send_head()
        for number in range(TOKENS):
            await exchange.send_chunks(delta(f" {number}"))
            async with asyncio.timeout(PATIENCE_S):
                await self.received.get()
        await exchange.send_chunks(FINISH, DONE)
        await exchange.send_last_chunk()

    async def until_disconnect(self, exchange: Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(delta("one"))
        await exchange.wait_closed()
        self.disconnected.set()
        exchange.writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with scripted() as upstream:
        yield upstream


@pytest.fixture
def servers(serve: Serve, redis: RedisServer, upstream: Upstream) -> list[ServerProcess]:
    return [
        serve(REDIS_URL=redis.url, UPSTREAM_URL=upstream.url, UPSTREAM_API_KEY="up", API_KEY="key") for _ in range(2)
    ]


@pytest.fixture
def port(servers: list[ServerProcess], tmp_path: Path) -> Iterator[int]:
    """The port of nginx."""
    folder = tmp_path / "nginx"
    folder.mkdir()
    nginx = Nginx(folder, [server.port for server in servers])
    yield nginx.port
    nginx.stop()


async def read_frame(client: Client, buffer: bytearray) -> bytes:
    """The next event; `buffer` holds the rest of the data, because nginx may split chunks anywhere."""
    while (at := buffer.find(b"\n\n")) < 0:
        buffer += await client.chunk()
    frame = bytes(buffer[: at + 2])
    del buffer[: at + 2]
    return frame


@pytest.mark.row("unbuffered")
async def test_each_token_arrives_before_the_next_is_sent(port: int, upstream: Upstream, tally: Tally) -> None:
    stepped = SteppedUpstream()
    upstream.script = stepped.token_by_token
    for number in tally.rounds():
        async with await Client.connect(port) as client:
            await client.send(chat("Go", model=None, conversation=f"unbuffered-{number}", headers=KEY))
            assert (await client.head()).status == 200
            buffer = bytearray()
            for place in range(TOKENS):
                expected = b'id: %d\ndata: {"content":" %d"}\n\n' % (place + 1, place)
                assert await read_frame(client, buffer) == expected
                stepped.received.put_nowait(None)
            assert await read_frame(client, buffer) == STREAM_DONE
    tally.passed(f"{tally.attempts * TOKENS} tokens, each received before the next was sent")


@pytest.mark.row("left")
async def test_client_disconnect_behind_nginx_ends_the_upstream_request(
    port: int, upstream: Upstream, tally: Tally
) -> None:
    longest = 0.0
    for number in tally.rounds():
        stepped = SteppedUpstream()
        upstream.script = stepped.until_disconnect
        client = await Client.connect(port)
        await client.send(chat("Go", model=None, conversation=f"left-{number}", headers=KEY))
        assert (await client.head()).status == 200
        await client.chunk()
        client.close()
        disconnected_s = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            await stepped.disconnected.wait()
        longest = max(longest, time.monotonic() - disconnected_s)
        assert longest < CLOSED_WITHIN_S
    tally.passed(f"after at most {longest * 1000:.0f} ms")


@pytest.mark.row("resumed")
async def test_turn_is_resumed_on_either_server_behind_nginx(
    port: int, servers: list[ServerProcess], tally: Tally
) -> None:
    for number in tally.rounds():
        ask = chat(
            "Go", model="sim:tokens=30,gap=10ms", conversation=f"r-{number}", on_disconnect="finish", headers=KEY
        )
        async with await Client.connect(port) as client:
            await client.send(ask)
            head = await client.head()
            await client.chunk()
        await asyncio.sleep(0.1)  # until the turn has been copied to Redis
        again = request(f"/chat/turns/{head.headers['x-turn-id']}", Last_Event_ID="1", **KEY)
        answers = await asyncio.gather(fetch(port, again), fetch(port, again))
        for answer in answers:
            assert answer.status == 200
            assert answer.body.startswith(b"id: 2\n")
            assert answer.body.endswith(STREAM_DONE)
            assert answer.body.count(b"id: ") == 29
    for server in servers:
        server.signal()
        assert server.wait() == 0  # the log is complete after the exit
    shares = [server.log().count('"path":"/chat/turns/{turn}"') for server in servers]
    assert all(shares), "both servers received requests"
    tally.passed(f"each twice: {shares[0]} of the requests reached one server, {shares[1]} the other")
