"""What clients can make the server hold is bounded in bytes, measured as the memory of its process. (E2, E3)"""

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.doubles.hostile_requests import post, user
from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.end_to_end.test_held_bytes import HELD_BYTES, MALLOC_SETTINGS, resident_bytes_at_rest
from tests.end_to_end.upstream import Exchange, delta, scripted
from tests.reliability.rows import Tally

KIB, MIB = 2**10, 2**20
KEYED = {"Authorization": "Bearer key"}
"""With a key, an upstream may be used by any client."""

TOKENS, TOKEN = 100, "a" * 30_000
LONG_TURNS = 60
"""Turns of a long conversation, each of a megabyte."""

AT_ONCE = 12
"""Reads of the long conversation at a time."""

READS_BYTES = 32 * MIB
"""Limit of what all of them take: four run at a time, each reads at most 4 MiB, as documents and decoded."""


def peak_bytes(server: ServerProcess) -> int:
    """Return the largest resident memory since the last reset."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * KIB


def reset_peak(server: ServerProcess) -> None:
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5", encoding="ascii")


async def bytes_at_rest(server: ServerProcess) -> int:
    """Return the resident memory once the server is idle, and reset its peak."""
    resident_bytes = await resident_bytes_at_rest(server)
    reset_peak(server)
    return resident_bytes


async def large_tokens(exchange: Exchange) -> None:
    """Send a long response in few tokens, and never end it."""
    await exchange.send_head()
    await exchange.send_chunks(*[delta(TOKEN)] * TOKENS)
    await asyncio.Event().wait()


@pytest.mark.row("followers")
async def test_followers_of_large_tokens_that_stop_reading_take_bounded_memory(serve: Serve, tally: Tally) -> None:
    async with scripted() as upstream, AsyncExitStack() as clients:
        upstream.script = large_tokens
        server = serve(UPSTREAM_URL=upstream.url, API_KEY="key", STALL_TIMEOUT="300s", **MALLOC_SETTINGS)
        client = await clients.enter_async_context(await Client.connect(server.port))
        await client.send(post("/chat", {"messages": user("hi"), "model": "up-1"}, **KEYED))
        turn = (await client.head()).headers["x-turn-id"]
        for _ in range(TOKENS):
            await client.chunk()
        before = await bytes_at_rest(server)
        for _ in tally.rounds():
            follower = await clients.enter_async_context(await Client.connect(server.port, receive_buffer=4_096))
            await follower.send(request(f"/chat/turns/{turn}", **KEYED))
        held = (await bytes_at_rest(server) - before) / tally.required

        assert held < HELD_BYTES, f"{held / KIB:.0f} KiB a follower"
    tally.passed(f"{held / KIB:.0f} KiB each of a turn of {TOKENS * len(TOKEN) / MIB:.1f} MiB in {TOKENS} tokens")


def short_turn(text: str, **fields: object) -> bytes:
    body = {"messages": user(text), "model": "sim:gap=0us,tokens=1", "stream": False, "conversation": "long"}
    return post("/chat", body | fields)


@pytest.mark.row("long histories")
async def test_reads_of_a_long_conversation_take_bounded_memory(serve: Serve, tally: Tally) -> None:
    server = serve(HISTORY_URL="sqlite:///h.db", RESPONSE_MEMORY="16MiB", RESUME_FOR="1ms", **MALLOC_SETTINGS)
    for _ in range(LONG_TURNS):
        assert (await fetch(server.port, short_turn("x" * 1_000_000))).status == 200
    first = await fetch(server.port, request("/conversations?search=nothing"))
    assert (first.status, first.body) == (200, b"[]")
    reads = [
        request("/history?conversation=long"),
        request("/conversations?search=nothing"),
        short_turn("hi", after=f"turn_{'0' * 24}"),
        short_turn("hi", replaces=f"turn_{'0' * 24}"),
    ]
    before = await bytes_at_rest(server)
    counted: dict[int, int] = {}
    for group in tally.groups(AT_ONCE):
        responses = await asyncio.gather(*(fetch(server.port, reads[number % len(reads)]) for number in group))
        for response in responses:
            counted[response.status] = counted.get(response.status, 0) + 1
    grown = peak_bytes(server) - before

    assert grown < READS_BYTES, f"{grown / MIB:.0f} MiB"
    assert counted.keys() == {200, 409, 503}
    tally.passed(f"{AT_ONCE} at a time took at most {grown / MIB:.0f} MiB; longer than `RESPONSE_MEMORY` allows: 503")


@pytest.mark.row("many conversations")
async def test_history_memory_bounds_conversations_with_titles(serve: Serve, tally: Tally) -> None:
    limit = 4 * MIB if tally.required > 5_000 else MIB
    server = serve(HISTORY_MEMORY=str(limit), RESUME_FOR="1ms", **MALLOC_SETTINGS)
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "x", "model": "é" * 200}]
    imported = post("/conversations", {"messages": messages, "title": "🙂" * 200})
    async with await Client.connect(server.port) as client:
        for _ in range(100):
            assert (await client.fetch(imported)).status == 201
        before = await bytes_at_rest(server)
        for _ in tally.rounds():
            assert (await client.fetch(imported)).status == 201
        grown = await bytes_at_rest(server) - before

    assert grown < 1.25 * limit, f"{grown / MIB:.1f} MiB"
    tally.passed(f"{grown / MIB:.1f} MiB with `HISTORY_MEMORY` of {limit / MIB:.0f} MiB")
