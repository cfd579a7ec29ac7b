"""What a stream held is freed when it ends, not when the garbage collector comes round: that may take hours."""

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
def no_collector() -> Iterator[None]:
    """The collector does not run while the test does."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def unreachable() -> list[str]:
    """What of ours, and which tracebacks, only the collector would free."""
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


def asks(model: str) -> dict[str, bytes]:
    body = PROVIDER % model.encode()
    return {
        "chat": chat("Hi", model=model),
        "whole chat": chat("Hi", model=model, stream=False),
        "openai": request("/v1/chat/completions", method="POST", body=body),
        "anthropic": request("/v1/messages", method="POST", body=body),
    }


async def whole(here: Running, ask: bytes) -> None:
    await fetch(here.port, ask)


async def left(here: Running, ask: bytes) -> None:
    client = await Client.connect(here.port)
    await client.send(ask)
    await eventually(lambda: bool(here.connections()), lambda: "not connected")
    await asyncio.sleep(0.02)  # whatever it has come to by then
    client.reset()
    await nothing_streams(here)


async def nothing_streams(here: Running) -> None:
    """Return once nothing is under way; connections to an upstream may wait in their pool."""
    streams = here.server.metrics
    await eventually(lambda: not here.connections() and not streams.streams, here.resources)
    await asyncio.sleep(0)


ENDS: dict[str, tuple[str, Callable[[Running, bytes], Awaitable[None]]]] = {
    "complete": ("gap=1ms,tokens=3", whole),
    "left": ("gap=30s", left),
    "fault": ("gap=1ms,tokens=9,error@2", whole),
}


@pytest.mark.parametrize("kind", asks("sim"))
@pytest.mark.parametrize("end", ENDS)
async def test_simulated_response_creates_no_reference_cycles(kind: str, end: str, no_collector: None) -> None:
    grammar, play = ENDS[end]
    async with running() as here:
        await play(here, asks(f"sim:{grammar}")[kind])  # what is made once
        unreachable()
        for _ in range(3):
            await play(here, asks(f"sim:{grammar}")[kind])
        await nothing_streams(here)
        assert unreachable() == []


async def sent(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(delta("a"), event(b"[DONE]"))
    await exchange.send_last_chunk()


async def broke(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(delta("a"))
    exchange.reset()


async def refused(exchange: Exchange) -> None:
    await exchange.respond(400, b'{"error":{"message":"no"}}')


async def silent(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(delta("a"))
    await exchange.wait_closed()


UPSTREAMS = {"said": (sent, whole), "broke": (broke, whole), "refused": (refused, whole), "silent": (silent, left)}


@pytest.mark.parametrize("kind", asks("up"))
@pytest.mark.parametrize("end", UPSTREAMS)
async def test_relayed_response_creates_no_reference_cycles(kind: str, end: str, no_collector: None) -> None:
    script, play = UPSTREAMS[end]
    async with scripted() as upstream, running(UPSTREAM_URL=upstream.url, UPSTREAM_RETRIES="0") as here:
        here.server.app.loopback_guard = None
        upstream.script = script
        await play(here, asks("up")[kind])
        unreachable()
        for _ in range(3):
            await play(here, asks("up")[kind])
        await nothing_streams(here)
        assert unreachable() == []
