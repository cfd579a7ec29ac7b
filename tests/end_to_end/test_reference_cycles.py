"""Streams create no reference cycles: their memory is freed at their end, without the garbage collector."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.end_to_end.chatting import chat
from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.in_process import Running, eventually, running
from tests.end_to_end.upstream import Exchange, delta, event, scripted

OURS = "tokenfall."


@pytest.fixture
def gc_disabled() -> Iterator[None]:
    """Disable the garbage collector during the test."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def collect_cycles() -> list[str]:
    """Return the types of our objects, tracebacks, coroutines and tasks that only the collector frees."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = {
        type(each).__qualname__
        for each in gc.garbage
        if type(each).__module__.startswith(OURS) or type(each).__name__ in ("traceback", "coroutine", "Task")
    }
    gc.garbage.clear()
    return sorted(found)


PROVIDER = b'{"model":"%b","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}'


def requests(model: str) -> dict[str, bytes]:
    body = PROVIDER % model.encode()
    return {
        "chat": chat("Hi", model=model),
        "whole chat": chat("Hi", model=model, stream=False),
        "openai": request("/v1/chat/completions", method="POST", body=body),
        "anthropic": request("/v1/messages", method="POST", body=body),
    }


async def read_whole(here: Running, data: bytes) -> None:
    await fetch(here.port, data)


async def disconnect_midway(here: Running, data: bytes) -> None:
    client = await Client.connect(here.port)
    await client.send(data)
    await eventually(lambda: bool(here.connections()), lambda: "not connected")
    await asyncio.sleep(0.02)  # at any point of the response
    client.reset()
    await wait_no_streams(here)


async def wait_no_streams(here: Running) -> None:
    """Return once no stream runs and no client is connected; pooled upstream connections may remain."""
    streams = here.server.metrics
    await eventually(lambda: not here.connections() and not streams.streams, here.resources)
    await asyncio.sleep(0)


ENDS: dict[str, tuple[str, Callable[[Running, bytes], Awaitable[None]]]] = {
    "complete": ("gap=1ms,tokens=3", read_whole),
    "left": ("gap=30s", disconnect_midway),
    "fault": ("gap=1ms,tokens=9,error@2", read_whole),
}


@pytest.mark.parametrize("kind", requests("sim"))
@pytest.mark.parametrize("end", ENDS)
async def test_simulated_response_creates_no_reference_cycles(kind: str, end: str, gc_disabled: None) -> None:
    grammar, play = ENDS[end]
    async with running() as here:
        await play(here, requests(f"sim:{grammar}")[kind])  # warm-up: objects created once
        collect_cycles()
        for _ in range(3):
            await play(here, requests(f"sim:{grammar}")[kind])
        await wait_no_streams(here)
        assert collect_cycles() == []


async def complete(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(delta("a"), event(b"[DONE]"))
    await exchange.send_last_chunk()


async def reset_after_token(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(delta("a"))
    exchange.reset()


async def refused(exchange: Exchange) -> None:
    await exchange.respond(400, b'{"error":{"message":"no"}}')


async def silent_after_token(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(delta("a"))
    await exchange.wait_closed()


UPSTREAMS = {
    "complete": (complete, read_whole),
    "reset": (reset_after_token, read_whole),
    "refused": (refused, read_whole),
    "silent": (silent_after_token, disconnect_midway),
}


@pytest.mark.parametrize("kind", requests("up"))
@pytest.mark.parametrize("end", UPSTREAMS)
async def test_relayed_response_creates_no_reference_cycles(kind: str, end: str, gc_disabled: None) -> None:
    script, play = UPSTREAMS[end]
    async with scripted() as upstream, running(UPSTREAM_URL=upstream.url, UPSTREAM_RETRIES="0") as here:
        here.server.app.loopback_guard = None
        upstream.script = script
        await play(here, requests("up")[kind])
        collect_cycles()
        for _ in range(3):
            await play(here, requests("up")[kind])
        await wait_no_streams(here)
        assert collect_cycles() == []
