"""SIGTERM with many open streams: the process exits in time, every stream has a final frame, text is stored. (S1)"""

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
from tests.reliability.unloaded import UnloadedClock
from tests.reliability.virtual_users import (
    UNLIMITED_HISTORY,
    TurnRecord,
    VirtualUser,
    check_history,
    read_response,
    stored_messages,
)

STREAMS = 500 if FULL else 100
CONVERSATIONS = 10
DRAIN_S = 0.5
MARGIN_S = 1.0
GAP_MS = 20


async def read_outcome(client: Client) -> str:
    """Read a simulated stream to its end: `done`, or the error code."""
    body = (await client.read_response()).body
    return "done" if body.endswith(DONE) else error_of(body)["code"]


async def start_chat(port: int, user: VirtualUser) -> tuple[Client, TurnRecord]:
    """Request a turn; return when the response has started."""
    record = TurnRecord(f"{user.name}{user.tag}")
    user.records.append(record)
    model = f"sim:gap={GAP_MS}ms,tokens={user.tokens}"
    return await start_stream(port, chat(record.question, model=model, conversation=user.name)), record


async def drain(serve: Serve, environment: dict[str, str], *, users: list[VirtualUser]) -> tuple[float, list[str]]:
    """Send SIGTERM under load. Returns the seconds to the exit, and the outcomes of the simulated streams."""
    server = serve(DRAIN_TIMEOUT=f"{round(DRAIN_S * 1000)}ms", **environment, **UNLIMITED_HISTORY)
    simulated = request(f"/stream-sse?gap={GAP_MS}ms&tokens=1000")
    streams = await asyncio.gather(*(start_stream(server.port, simulated) for _ in users))
    chats = await asyncio.gather(*(start_chat(server.port, user) for user in users))
    clock = UnloadedClock(server.process.pid)
    start_s = clock.now_s()
    server.signal()
    ended_s, outcomes, _ = await asyncio.gather(
        asyncio.create_task(exit_time(server, clock)),
        asyncio.gather(*(read_outcome(stream) for stream in streams)),
        asyncio.gather(*(read_response(client, record) for client, record in chats)),
    )
    for client in (*streams, *(client for client, _ in chats)):
        client.close()
    assert server.wait() == 0
    return ended_s - start_s, outcomes


async def exit_time(server: ServerProcess, clock: UnloadedClock) -> float:
    """The time at which the process exited. It is not reaped, because the clock still reads its statistics."""
    await asyncio.to_thread(os.waitid, os.P_PID, server.process.pid, os.WEXITED | os.WNOWAIT)
    return clock.now_s()


@pytest.mark.row("drain")
async def test_drain_ends_in_time_and_stores_all_text(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    environment = {"HISTORY_URL": f"sqlite:///{tmp_path}/chat.db"}
    longest = 0.0
    users: list[VirtualUser] = []
    for number in tally.rounds():
        group = [
            VirtualUser(
                f"drain-{number}-{place % CONVERSATIONS}", tokens=random.choice([20, 30, 40, 1000]), tag=f" {place}"
            )
            for place in range(STREAMS // 2)
        ]
        took_s, outcomes = await drain(serve, environment, users=group)
        assert took_s < DRAIN_S + MARGIN_S
        assert set(outcomes) <= {"done", "shutting_down"}
        longest = max(longest, took_s)
        users += group
    assert {record.outcome for user in users for record in user.records} == {"done", "shutting_down"}
    port = serve(**environment, **UNLIMITED_HISTORY).port
    partly = 0
    for name in dict.fromkeys(user.name for user in users):
        members = [user for user in users if user.name == name]
        messages = await stored_messages(port, name)
        assert len(messages) == 2 * len(members), "every chat that sent text is stored"
        partly += check_history(messages, members)
    tally.passed(
        f"{len(users)} chats, all stored, {partly} of them interrupted; "
        f"the longest took {longest:.2f} s with {DRAIN_S:g} s to drain"
    )
