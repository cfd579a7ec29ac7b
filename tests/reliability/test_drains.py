"""SIGTERM with many streams: it ends in time, every stream has a last frame, no sent text is lost. (S1)"""

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.chatting import DONE, chat, error_of, start_stream
from tests.end_to_end.client import Client, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.reliability.rows import FULL, Tally
from tests.reliability.talks import ENDLESS_HISTORY, Talk, Told, check, kept, on_event
from tests.reliability.unloaded import UnloadedClock

STREAMS = 500 if FULL else 100
CONVERSATIONS = 10
DRAIN_S = 0.5
MARGIN_S = 1.0
GAP_MS = 20


async def ends(client: Client) -> str:
    """How a simulated stream ended."""
    body = (await client.read_response()).body
    return "done" if body.endswith(DONE) else error_of(body)["code"]


async def begun(port: int, talk: Talk) -> tuple[Client, Told]:
    """A chat whose response has begun."""
    exchange = Told(f"{talk.name}{talk.tag}")
    talk.told.append(exchange)
    model = f"sim:gap={GAP_MS}ms,tokens={talk.tokens}"
    return await start_stream(port, chat(exchange.question, model=model, conversation=talk.name)), exchange


async def drained(serve: Serve, environment: dict[str, str], *, talks: list[Talk]) -> tuple[float, list[str]]:
    """How long the process took to end, and how the simulated streams ended."""
    server = serve(DRAIN_TIMEOUT=f"{round(DRAIN_S * 1000)}ms", **environment, **ENDLESS_HISTORY)
    simulated = request(f"/stream-sse?gap={GAP_MS}ms&tokens=1000")
    streams = await asyncio.gather(*(start_stream(server.port, simulated) for _ in talks))
    chats = await asyncio.gather(*(begun(server.port, talk) for talk in talks))
    clock = UnloadedClock(server.process.pid)
    begun_s = clock.now_s()
    server.signal()
    ended_s, received, _ = await asyncio.gather(
        asyncio.create_task(end_of(server, clock)),
        asyncio.gather(*(ends(stream) for stream in streams)),
        asyncio.gather(*(on_event(client, exchange) for client, exchange in chats)),
    )
    for client in (*streams, *(client for client, _ in chats)):
        client.close()
    assert server.wait() == 0
    return ended_s - begun_s, received


async def end_of(server: ServerProcess, clock: UnloadedClock) -> float:
    """When the process has ended. It is still there as a zombie, so that the clock can ask about it."""
    await asyncio.to_thread(os.waitid, os.P_PID, server.process.pid, os.WEXITED | os.WNOWAIT)
    return clock.now_s()


@pytest.mark.row("drain")
async def test_drain_ends_in_time_and_stores_all_text(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    environment = {"HISTORY_URL": f"sqlite:///{tmp_path}/chat.db"}
    longest = 0.0
    talks: list[Talk] = []
    for number in tally.rounds():
        now = [
            Talk(f"drain-{number}-{place % CONVERSATIONS}", tokens=random.choice([20, 30, 40, 1000]), tag=f" {place}")
            for place in range(STREAMS // 2)
        ]
        took_s, received = await drained(serve, environment, talks=now)
        assert took_s < DRAIN_S + MARGIN_S
        assert set(received) <= {"done", "shutting_down"}
        longest = max(longest, took_s)
        talks += now
    assert {exchange.end for talk in talks for exchange in talk.told} == {"done", "shutting_down"}
    port = serve(**environment, **ENDLESS_HISTORY).port
    partly = 0
    for name in dict.fromkeys(talk.name for talk in talks):
        here = [talk for talk in talks if talk.name == name]
        messages = await kept(port, name)
        assert len(messages) == 2 * len(here), "every chat that said something is kept"
        partly += check(messages, here)
    tally.passed(
        f"{len(talks)} chats, all stored, {partly} of them interrupted; "
        f"the longest took {longest:.2f} s with {DRAIN_S:g} s to drain"
    )
