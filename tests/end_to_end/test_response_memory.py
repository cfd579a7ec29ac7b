"""Complete responses in memory share `RESPONSE_MEMORY`: requests over it are refused, and all memory is released."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.doubles.hostile_requests import post, user
from tests.end_to_end.client import Client, fetch
from tests.end_to_end.in_process import Running, eventually, running
from tests.end_to_end.test_caller_queues import CALLERS
from tests.end_to_end.test_upstream import relaying
from tests.end_to_end.upstream import DONE, FINISH, Exchange, delta

WORDS = 16_000
"""Words of a response, about 100 kB of text."""

MEMORY = "512KiB"
"""The share of one client has room for one such response, not for two."""

FULL = (
    "the server's memory for complete responses is in use by this caller, up to its share; request a stream, or"
    " try again later"
)
"""The error in the dialect without codes."""

SIM = f"sim:tokens={WORDS},gap=0us,ttft=300s"
ECHO = "text=echo,tokens=1200,gap=0us,fault=stall@1199:300s"
"""120 kB of text in few tokens, since a chat is collected token by token."""

CHAT = {"messages": user("hi"), "stream": False, "max_tokens": 20_000}

LATE = {
    "openai.chat": post("/v1/chat/completions", CHAT | {"model": SIM}),
    "openai.completions": post("/v1/completions", {"model": SIM, "prompt": "hi", "max_tokens": 20_000}),
    "openai.responses": post("/v1/responses", {"model": SIM, "input": "hi"}),
    "anthropic": post("/v1/messages", CHAT | {"model": SIM}),
    "ollama.chat": post("/api/chat", CHAT | {"model": SIM}),
    "ollama.generate": post("/api/generate", {"model": SIM, "prompt": "hi", "stream": False}),
    "chat": post("/chat", CHAT | {"messages": user(("x" * 99 + " ") * 300)}, X_Sim=ECHO),
}
"""Non-streaming responses that are complete long before they are due."""


def held_bytes(here: Running) -> int:
    return here.server.metrics.response_memory_bytes


async def send_until_held(here: Running, clients: AsyncExitStack, data: bytes) -> None:
    """Send a request and return once its response is in memory."""
    before = held_bytes(here)
    client = await clients.enter_async_context(await Client.connect(here.port, receive_buffer=4_096))
    await client.send(data)
    await eventually(lambda: held_bytes(here) > before + 100_000, lambda: held_bytes(here))


def code_of(body: bytes) -> Any:
    """Return the code of an error, or its type in dialects without codes."""
    document = json.loads(body)
    error = document.get("error", document)
    return error if isinstance(error, str) else error.get("code") or error["type"]


@pytest.mark.parametrize("route", LATE)
async def test_simulated_response_that_does_not_fit_is_refused_until_others_have_ended(route: str) -> None:
    async with running(RESPONSE_MEMORY=MEMORY, RATE_LIMIT_RPS="0") as here:
        async with AsyncExitStack() as clients:
            await send_until_held(here, clients, LATE[route])
            refused = await fetch(here.port, LATE[route])
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert code_of(refused.body) in {
                "response_memory_full",
                "overloaded_error",
                FULL,
            }
            scraped = (await fetch(here.port, b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")).body.decode()
            assert f"tokenfall_response_memory_bytes {float(held_bytes(here))}\n" in scraped
        await here.wait_idle()
        assert held_bytes(here) == 0

        async with AsyncExitStack() as clients:
            await send_until_held(here, clients, LATE[route])
        await here.wait_idle()
        assert held_bytes(here) == 0


async def long_then_silent(exchange: Exchange) -> None:
    """Send half of the memory limit, then wait."""
    await exchange.send_head()
    await exchange.send_chunks(*[delta("x" * 10_000)] * 15)
    await exchange.wait_closed()
    exchange.writer.close()


async def one_long_part(exchange: Exchange) -> None:
    """Send an incomplete list of vectors, then wait."""
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"[" * 150_000)
    await exchange.wait_closed()
    exchange.writer.close()


RELAYED: dict[str, tuple[bytes, Callable[[Exchange], Awaitable[None]]]] = {
    "anthropic": (post("/v1/messages", CHAT | {"model": "up-1"}), long_then_silent),
    "ollama.chat": (post("/api/chat", CHAT | {"model": "up-1"}), long_then_silent),
    "ollama.embed": (post("/api/embed", {"model": "up-1", "input": "hi"}), one_long_part),
    "chat": (post("/chat", CHAT | {"model": "up-1"}), long_then_silent),
}


@pytest.mark.parametrize("route", RELAYED)
async def test_relayed_response_that_does_not_fit_is_refused_and_its_upstream_closed(route: str) -> None:
    data, script = RELAYED[route]
    async with relaying(RESPONSE_MEMORY=MEMORY, RATE_LIMIT_RPS="0") as (here, upstream):
        upstream.script = script
        async with AsyncExitStack() as clients:
            await send_until_held(here, clients, data)
            refused = await fetch(here.port, data)

            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert here.server.metrics.upstream_errors == {}
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )
        await eventually(lambda: held_bytes(here) == 0, lambda: held_bytes(here))


@pytest.mark.parametrize("ending", ["timeout", "reset"])
async def test_memory_of_a_relayed_response_that_fails_is_released(ending: str) -> None:
    async with relaying(RESPONSE_MEMORY=MEMORY, UPSTREAM_TOTAL_TIMEOUT="1s") as (here, upstream):
        reached: asyncio.Queue[int] = asyncio.Queue()

        async def script(exchange: Exchange) -> None:
            await exchange.send_head()
            await exchange.send_chunks(*[delta("x" * 10_000)] * 15)
            await eventually(lambda: held_bytes(here) > 100_000, lambda: held_bytes(here))
            reached.put_nowait(held_bytes(here))
            if ending == "reset":
                exchange.reset()
            else:
                await exchange.wait_closed()
                exchange.writer.close()

        upstream.script = script
        response = await fetch(here.port, RELAYED["anthropic"][0])

        assert response.status in (502, 504)
        assert reached.get_nowait() > 100_000
        assert held_bytes(here) == 0


async def long_event(exchange: Exchange) -> None:
    """Send a token, then an event of more than half of the memory limit."""
    await exchange.send_head()
    await exchange.send_chunks(delta("x"), delta("x" * 300_000), FINISH, DONE)
    await exchange.send_last_chunk()


STREAMED = {
    "openai.chat": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "ollama.chat": "/api/chat",
    "chat": "/chat",
}


@pytest.mark.parametrize("route", STREAMED)
async def test_long_event_is_counted_until_its_client_has_read_it(route: str) -> None:
    data = post(STREAMED[route], CHAT | {"model": "up-1", "stream": True})
    async with relaying(RESPONSE_MEMORY="1MiB", RATE_LIMIT_RPS="0") as (here, upstream):
        upstream.script = long_event
        async with AsyncExitStack() as clients:
            await send_until_held(here, clients, data)
            refused = await fetch(here.port, data)
            assert refused.status == 200
            assert any(text in refused.body for text in (b"response_memory_full", b"overloaded_error", FULL.encode()))
            assert len(refused.body) < 10_000
        await eventually(lambda: held_bytes(here) == 0, lambda: held_bytes(here))
        assert len((await fetch(here.port, data)).body) > 300_000
        assert held_bytes(here) == 0


async def test_history_for_a_slow_client_counts_into_the_response_memory() -> None:
    async with running(RESPONSE_MEMORY="8MiB", RATE_LIMIT_RPS="0") as here:
        long = post("/chat", CHAT | {"messages": user("x" * 900_000)}, X_Sim="tokens=1,gap=0us")
        for _ in range(3):
            assert (await fetch(here.port, long)).status == 200
        data = b"GET /history HTTP/1.1\r\nHost: test\r\n\r\n"
        async with AsyncExitStack() as clients:
            await send_until_held(here, clients, data)
            assert (await fetch(here.port, data)).status == 503
        await here.wait_idle()
        assert held_bytes(here) == 0
        assert len(json.loads((await fetch(here.port, data)).body)) == 6
        await here.wait_idle()
        assert held_bytes(here) == 0


LONG = "a " * 25_000
REPEATED: dict[str, dict[str, Any]] = {
    "instructions": {"input": "hi", "instructions": LONG},
    "tools": {
        "input": "hi",
        "tools": [{"type": "function", "name": "f", "description": LONG, "parameters": {"type": "object"}}],
    },
    "echo": {"prompt": LONG, "echo": True},
}
"""Requests whose 50 kB the response repeats, with memory for five copies."""


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", REPEATED)
async def test_request_text_repeated_in_a_response_counts_into_the_response_memory(name: str, stream: bool) -> None:
    path = "/v1/completions" if name == "echo" else "/v1/responses"
    data = post(path, {"model": "sim:ttft=300s", "stream": stream} | REPEATED[name])
    async with running(RESPONSE_MEMORY="800KiB", RATE_LIMIT_RPS="0") as here:
        async with AsyncExitStack() as clients:
            await send_until_held(here, clients, data)
            refused = await fetch(here.port, data)
            assert (refused.status, code_of(refused.body)) == (503, "response_memory_full")
        await here.wait_idle()
        assert held_bytes(here) == 0


@pytest.mark.parametrize("kind", CALLERS)
async def test_client_at_its_share_of_memory_leaves_room_for_others(kind: str) -> None:
    settings, first, same, other = CALLERS[kind]
    data = LATE["openai.responses"]
    async with running(RESPONSE_MEMORY=MEMORY, RATE_LIMIT_RPS="0", **settings) as here:
        async with AsyncExitStack() as clients:
            await send_until_held(here, clients, with_header(data, first))
            assert (await fetch(here.port, with_header(data, same))).status == 503
            await send_until_held(here, clients, with_header(data, other))
        await here.wait_idle()
        assert held_bytes(here) == 0


def with_header(data: bytes, header: bytes) -> bytes:
    return data.replace(b"\r\n", b"\r\n" + header + b"\r\n", 1)
