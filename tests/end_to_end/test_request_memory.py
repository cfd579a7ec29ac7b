"""Bodies in transit, requests to the upstream until its first token, and the texts of running chats share a limit."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tokenfall.memory.leases import RequestMemory

from tests.doubles.hostile_requests import post, user
from tests.end_to_end.client import Client, fetch, metric
from tests.end_to_end.in_process import Running, eventually, running
from tests.end_to_end.test_caller_queues import CALLERS
from tests.end_to_end.test_response_memory import code_of, with_header
from tests.end_to_end.test_upstream import relaying
from tests.end_to_end.upstream import Exchange, delta

LONG = "a " * ((100_000 + RequestMemory.uncounted_bytes) // 2)
"""A text of which 100 kB count."""

WAITING = post("/chat", {"messages": user(LONG)}, X_Sim="ttft=300s")
GENERATING = post(
    "/chat",
    {"messages": user("hi"), "max_tokens": 50_000},
    X_Sim="text=words,tokens=22000,gap=0us,fault=stall@21999:300s",
)
COMPLETE = post("/chat", {"messages": user(LONG), "stream": False}, X_Sim="ttft=300s")
REFUSED_SHARE = 'tokenfall_memory_refused_total{memory="requests",reason="share"}'

CHATS = {"question": WAITING, "response": GENERATING, "question of a complete response": COMPLETE}


def held_bytes(here: Running) -> int:
    return here.server.parts.request_memory.shares.held_bytes


async def send_until_counted(here: Running, clients: AsyncExitStack, data: bytes, *, size_bytes: int = 100_000) -> None:
    """Send a request and return once its memory is counted."""
    before = held_bytes(here)
    reading = asyncio.create_task(fetch(here.port, data))
    clients.callback(reading.cancel)
    await eventually(lambda: held_bytes(here) >= before + size_bytes, lambda: held_bytes(here))


@pytest.mark.parametrize("chat", CHATS)
async def test_texts_of_running_chats_are_limited(chat: str) -> None:
    limit = "600000" if chat == "response" else "900000"
    async with running(REQUEST_MEMORY=limit, RATE_LIMIT_RPS="0") as here:
        async with AsyncExitStack() as clients:
            await send_until_counted(here, clients, CHATS[chat], size_bytes=70_000)
            refused = await fetch(here.port, WAITING)

            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert code_of(refused.body) in {"request_memory_full", "overloaded"}  # the latter while it is received
        await here.wait_idle()
        assert held_bytes(here) == 0
        assert here.server.parts.chat_service().turns.running() == []


async def test_response_that_outgrows_the_memory_ends_with_an_error_and_is_stored() -> None:
    async with running(REQUEST_MEMORY="350000", RATE_LIMIT_RPS="0") as here:
        body = {"messages": user("hi"), "conversation": "long", "max_tokens": 200_000}
        response = await fetch(here.port, post("/chat", body, X_Sim="text=words,tokens=160000,gap=0us"))
        stored = await fetch(here.port, b"GET /history?conversation=long HTTP/1.1\r\nHost: test\r\n\r\n")

        assert b'"code":"request_memory_full"' in response.body
        assert not response.body.endswith(b"[DONE]\n\n")
        assert json.loads(stored.body)[1]["status"] == "interrupted"
        assert held_bytes(here) == 0


@pytest.mark.parametrize("kind", CALLERS)
async def test_chats_of_one_client_leave_room_for_others(kind: str) -> None:
    settings, first, same, other = CALLERS[kind]
    async with running(REQUEST_MEMORY="900000", RATE_LIMIT_RPS="0", **settings) as here:
        chats = here.server.parts.chat_service().turns
        async with AsyncExitStack() as clients:
            await send_until_counted(here, clients, with_header(WAITING, first))
            await eventually(lambda: len(chats.running()) == 1, chats.running)
            assert (await fetch(here.port, with_header(WAITING, same))).status == 503
            assert await metric(here.port, "tokenfall_request_memory_bytes") == held_bytes(here)
            assert await metric(here.port, REFUSED_SHARE) == 1
            await send_until_counted(here, clients, with_header(WAITING, other))
            await eventually(lambda: len(chats.running()) == 2, chats.running)
        await here.wait_idle()
        assert held_bytes(here) == 0


@pytest.mark.parametrize("kind", CALLERS)
async def test_incomplete_bodies_of_one_client_leave_room_for_others(kind: str) -> None:
    settings, first, same, other = CALLERS[kind]
    async with running(REQUEST_MEMORY="450000", RATE_LIMIT_RPS="0", **settings) as here:
        async with AsyncExitStack() as clients:
            await send_until_counted(here, clients, with_header(WAITING, first)[:-1])
            refused = await fetch(here.port, with_header(WAITING, same)[:-1])
            assert (refused.status, code_of(refused.body)) == (503, "overloaded")
            await send_until_counted(here, clients, with_header(WAITING, other)[:-1])
        await here.wait_idle()
        assert held_bytes(here) == 0


async def test_large_simulated_request_is_counted_until_it_is_planned() -> None:
    planned_for_seconds = post(
        "/v1/chat/completions",
        {"model": "sim:tokens=1000000,text=words", "messages": user("hi"), "stop": ["a" * 150_000, "b" * 150_000]},
    )
    async with running(REQUEST_MEMORY="1500000", RATE_LIMIT_RPS="0") as here:
        async with AsyncExitStack() as clients:
            await send_until_counted(here, clients, planned_for_seconds, size_bytes=600_000)
            refused = await fetch(here.port, planned_for_seconds)
            assert (refused.status, code_of(refused.body)) == (503, "overloaded")
        await here.wait_idle()
        assert held_bytes(here) == 0


RELAYED: dict[str, tuple[str, dict[str, Any], int]] = {
    "openai.chat": ("/v1/chat/completions", {"messages": user(LONG)}, 2),
    "openai.responses": ("/v1/responses", {"input": LONG}, 2),
    "openai.embeddings": ("/v1/embeddings", {"input": LONG}, 2),
    "anthropic": ("/v1/messages", {"messages": user(LONG), "max_tokens": 9}, 3),
    "ollama.chat": ("/api/chat", {"messages": user(LONG)}, 3),
    "ollama.embed": ("/api/embed", {"input": LONG}, 2),
    "chat": ("/chat", {"messages": user(LONG)}, 4),
}
"""Path, body, and the number of copies of its text that count."""


async def silent(exchange: Exchange) -> None:
    await exchange.wait_closed()
    exchange.writer.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("route", RELAYED)
async def test_requests_that_wait_for_the_upstream_are_limited(route: str, stream: bool) -> None:
    path, body, copies = RELAYED[route]
    data = post(path, body | {"model": "up-1", "stream": stream})
    async with relaying(REQUEST_MEMORY=f"{copies * 280_000}", RATE_LIMIT_RPS="0") as (here, upstream):
        upstream.script = silent
        async with AsyncExitStack() as clients:
            await send_until_counted(here, clients, data, size_bytes=copies * 100_000)
            refused = await fetch(here.port, data)

            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert here.server.metrics.upstream_errors == {}
        await here.wait_idle()
        assert held_bytes(here) == 0


@pytest.mark.parametrize("route", ["openai.chat", "anthropic", "ollama.chat"])
async def test_request_is_not_counted_after_the_first_token(route: str) -> None:
    path, body, _ = RELAYED[route]
    async with relaying(REQUEST_MEMORY="1000000", RATE_LIMIT_RPS="0") as (here, upstream):
        reached = asyncio.Event()

        async def token_then_wait(exchange: Exchange) -> None:
            await exchange.send_head()
            await exchange.send_chunks(delta("hi"))
            await eventually(lambda: held_bytes(here) == 0, lambda: held_bytes(here))
            reached.set()
            await silent(exchange)

        upstream.script = token_then_wait
        async with await Client.connect(here.port) as client:
            await client.send(post(path, body | {"model": "up-1", "stream": True}))
            await asyncio.wait_for(reached.wait(), 5)
