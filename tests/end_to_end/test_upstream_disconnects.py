"""A client disconnect at any byte closes the upstream connection, over plain HTTP and TLS. (U4)"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.doubles.certificates import server_context, trusted_file
from tests.end_to_end.chatting import chat
from tests.end_to_end.client import Client
from tests.end_to_end.in_process import Running, eventually, running
from tests.end_to_end.upstream import Exchange, Upstream, delta, scripted

TOKENS = ("Hé", "llo", "🙂")
STREAM_REQUEST = chat("Hello", model=None)


async def send_tokens_and_wait(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(*map(delta, TOKENS))
    await exchange.wait_closed()
    exchange.writer.close()


@asynccontextmanager
async def relaying(tls: ssl.SSLContext | None) -> AsyncIterator[tuple[Running, Upstream]]:
    async with scripted(tls=tls) as upstream:
        upstream.script = send_tokens_and_wait
        async with running(UPSTREAM_URL=upstream.url) as here:
            here.server.app.loopback_guard = None
            yield here, upstream
            await here.wait_idle()


@pytest.fixture(params=["plain", "TLS"])
def tls(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext | None:
    monkeypatch.setenv("SSL_CERT_FILE", trusted_file(tmp_path))
    return server_context() if request.param == "TLS" else None


async def response_bytes(here: Running) -> int:
    """Return the size of the response before the upstream pauses."""
    async with await Client.connect(here.port) as client:
        await client.send(STREAM_REQUEST)
        return len(await client.until(TOKENS[-1].encode())) + len(client.buffered)


async def test_client_may_disconnect_at_any_byte_of_the_response(tls: ssl.SSLContext | None) -> None:
    async with relaying(tls) as (here, upstream):
        size = await response_bytes(here)
        await eventually(lambda: upstream.open_connections == 0, lambda: "the first connection is open")
        took_s: list[float] = []
        for at in range(0, size, 1 if tls is None else 3):
            client = await Client.connect(here.port)
            await client.send(STREAM_REQUEST)
            received_bytes = 0
            while received_bytes < at:
                received_bytes += len(await asyncio.get_running_loop().sock_recv(client.sock, at - received_bytes))
            if not at:
                await eventually(lambda: upstream.open_connections == 1, lambda: "no upstream request was sent")
            disconnected_s = time.monotonic()
            client.close() if at % 2 else client.reset()
            await eventually(lambda: upstream.open_connections == 0, lambda: "the upstream's connection is open")
            took_s.append(time.monotonic() - disconnected_s)
        assert size > 200
        assert sorted(took_s)[len(took_s) * 9 // 10] <= 0.25, took_s  # the slowest tenth may be due to a busy machine
        assert max(took_s) < 2


@pytest.mark.parametrize("disconnect", ["close", "reset"])
async def test_client_may_disconnect_at_any_byte_of_the_request(tls: ssl.SSLContext | None, disconnect: str) -> None:
    async with relaying(tls) as (here, upstream):
        for at in range(len(STREAM_REQUEST) + 1):
            client = await Client.connect(here.port)
            await client.send(STREAM_REQUEST[:at])
            client.close() if disconnect == "close" else client.reset()
        await here.wait_idle()
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )
