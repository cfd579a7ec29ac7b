"""Two processes with clock skew, as on two machines, share turns, resumption, idempotency keys and limits. (D3, L3)

The wall clocks differ by two hours and the monotonic clocks have different origins. A deadline of one process must not
be interpreted by the other.
"""

import asyncio
import time
from pathlib import Path

import pytest

from tests.end_to_end.chatting import DONE
from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.reliability.programs import clock_offset
from tests.reliability.rows import Tally
from tests.reliability.test_other_process import TurnReader, follow, question
from tests.reliability.virtual_users import UNLIMITED_HISTORY, VirtualUser, check_history, count_turns, stored_messages
from tests.stores.redis_server import RedisServer

CLOCKS = ((3_600, 1_000_000), (-3_600, 0))
"""Seconds added to the wall clock and to the monotonic clocks of each process."""

RATE, BURST = 20, 10
CLIENTS = 10
MARGIN_S = 0.2
"""Tolerance, because the client does not know when the server received the first request."""


def skewed_servers(serve: Serve, **environment: str) -> list[ServerProcess]:
    return [
        serve(
            program=Path(clock_offset.__file__),
            CLOCK_OFFSET_S=str(clock_s),
            UPTIME_OFFSET_S=str(uptime_s),
            **environment,
        )
        for clock_s, uptime_s in CLOCKS
    ]


async def follow_repeat_and_stop(ports: list[int], number: int) -> None:
    """Follow, repeat and stop a turn of one process through the other."""
    here, there = ports[number % 2], ports[1 - number % 2]
    data = question(f"clocks-{number}", tokens=20, Idempotency_Key=f"key {number}")
    requester = await TurnReader.start(here, data)
    repeated = await TurnReader.start(there, data)
    assert repeated.turn_id == requester.turn_id
    follower = await TurnReader.start(there, follow(requester.turn_id, 0))
    sent, *others = await asyncio.gather(requester.rest(), repeated.rest(), follower.rest())
    assert sent.endswith(DONE)
    assert others == [sent, sent]
    endless = await TurnReader.start(here, question(f"stopped-{number}", tokens=2_000))
    stopped = await fetch(there, request(f"/chat/turns/{endless.turn_id}/stop", method="POST"))
    assert stopped.status == 204
    assert b"stopped" in await endless.rest()


@pytest.mark.row("clocks")
async def test_turns_are_shared_by_processes_with_different_clocks(
    serve: Serve, tally: Tally, redis: RedisServer
) -> None:
    ports = [server.port for server in skewed_servers(serve, REDIS_URL=redis.url, **UNLIMITED_HISTORY)]
    users = [VirtualUser("shared", tokens=3 + number, tag=f" client {number}") for number in range(CLIENTS)]
    dates = [(await fetch(port, request("/health"))).headers["date"] for port in ports]
    assert dates[0][:16] != dates[1][:16] or dates[0][17:19] != dates[1][17:19], "the clocks differ"
    count = tally.required // CLIENTS
    await asyncio.gather(
        *(user.request_turns(ports[number % 2], count=count) for number, user in enumerate(users)),
    )
    views = [await stored_messages(port, "shared") for port in ports]
    assert views[0] == views[1]
    assert check_history(views[0], users) == 0
    for number in range(max(2, tally.required // 20)):
        await follow_repeat_and_stop(ports, number)
    tally.passed(
        f"{count_turns(users)} turns complete and in order for both; {max(2, tally.required // 20)} followed, repeated "
        "and stopped from the other process",
        count=count_turns(users),
    )


@pytest.mark.row("clocks and limits")
async def test_limit_is_shared_by_processes_with_different_clocks(
    serve: Serve, tally: Tally, redis: RedisServer
) -> None:
    limits = {"LIMITS_URL": redis.url, "RATE_LIMIT_RPS": str(RATE), "RATE_LIMIT_BURST": str(BURST)}
    ports = [server.port for server in skewed_servers(serve, **limits)]
    statuses: list[int] = []
    start_s = time.monotonic()

    async def ask(port: int) -> None:
        async with await Client.connect(port) as client:
            while len(statuses) < tally.required:
                statuses.append((await client.fetch(request("/conversations"))).status)
                await asyncio.sleep(0.002)

    await asyncio.gather(*map(ask, ports))
    took_s = time.monotonic() - start_s
    passed = statuses.count(200)
    assert set(statuses) == {200, 429}
    assert BURST <= passed <= BURST + RATE * (took_s + MARGIN_S)
    tally.passed(f"{passed} passed in {took_s:.1f} s, {len(statuses) - passed} got 429", count=len(statuses))
