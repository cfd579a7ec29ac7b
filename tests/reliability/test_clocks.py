"""Two processes whose clocks differ, as on two machines: turns, resumption, keys and limits are those of one. (D3, L3)

One process is two hours ahead of the other, and its monotonic clocks began at another time: no deadline of one may be
read by the other.
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
from tests.reliability.talks import ENDLESS_HISTORY, Talk, check, counted, kept
from tests.reliability.test_other_process import Heard, follow, question
from tests.stores.redis_server import RedisServer

CLOCKS = ((3_600, 1_000_000), (-3_600, 0))
"""Seconds that are added to the time of day and to the time since the start of the machine."""

RATE, BURST = 20, 10
CLIENTS = 10
MARGIN_S = 0.2
"""For the moment of the first request, which a client cannot know."""


def servers(serve: Serve, **environment: str) -> list[ServerProcess]:
    return [
        serve(
            program=Path(clock_offset.__file__),
            CLOCK_OFFSET_S=str(clock_s),
            UPTIME_OFFSET_S=str(uptime_s),
            **environment,
        )
        for clock_s, uptime_s in CLOCKS
    ]


async def follows_stops_and_repeats(ports: list[int], number: int) -> None:
    """A turn of either process is one of the other too."""
    here, there = ports[number % 2], ports[1 - number % 2]
    data = question(f"clocks-{number}", tokens=20, Idempotency_Key=f"key {number}")
    requested = await Heard.begun(here, data)
    again = await Heard.begun(there, data)
    assert again.turn == requested.turn
    following = await Heard.begun(there, follow(requested.turn, 0))
    sent, *others = await asyncio.gather(requested.rest(), again.rest(), following.rest())
    assert sent.endswith(DONE)
    assert others == [sent, sent]
    endless = await Heard.begun(here, question(f"stopped-{number}", tokens=2_000))
    stopped = await fetch(there, request(f"/chat/turns/{endless.turn}/stop", method="POST"))
    assert stopped.status == 204
    assert b"stopped" in await endless.rest()


@pytest.mark.row("clocks")
async def test_turns_are_equal_in_processes_with_different_clocks(
    serve: Serve, tally: Tally, redis: RedisServer
) -> None:
    ports = [server.port for server in servers(serve, REDIS_URL=redis.url, **ENDLESS_HISTORY)]
    talks = [Talk("shared", tokens=3 + number, tag=f" client {number}") for number in range(CLIENTS)]
    dates = [(await fetch(port, request("/health"))).headers["date"] for port in ports]
    assert dates[0][:16] != dates[1][:16] or dates[0][17:19] != dates[1][17:19], "the clocks do differ"
    most = tally.wanted // CLIENTS
    await asyncio.gather(
        *(talk.keep_asking(ports[number % 2], most=most) for number, talk in enumerate(talks)),
    )
    views = [await kept(port, "shared") for port in ports]
    assert views[0] == views[1]
    assert check(views[0], talks) == 0
    for number in range(max(2, tally.wanted // 20)):
        await follows_stops_and_repeats(ports, number)
    tally.passed(
        f"{counted(talks)} turns complete and in order for both; {max(2, tally.wanted // 20)} followed, repeated and "
        "stopped from the other process",
        times=counted(talks),
    )


@pytest.mark.row("clocks and limits")
async def test_limit_is_shared_by_processes_with_different_clocks(
    serve: Serve, tally: Tally, redis: RedisServer
) -> None:
    limits = {"LIMITS_URL": redis.url, "RATE_LIMIT_RPS": str(RATE), "RATE_LIMIT_BURST": str(BURST)}
    ports = [server.port for server in servers(serve, **limits)]
    statuses: list[int] = []
    begun_s = time.monotonic()

    async def ask(port: int) -> None:
        async with await Client.connect(port) as client:
            while len(statuses) < tally.wanted:
                statuses.append((await client.fetch(request("/conversations"))).status)
                await asyncio.sleep(0.002)

    await asyncio.gather(*map(ask, ports))
    took_s = time.monotonic() - begun_s
    passed = statuses.count(200)
    assert set(statuses) == {200, 429}
    assert BURST <= passed <= BURST + RATE * (took_s + MARGIN_S)
    tally.passed(f"{passed} passed in {took_s:.1f} s, {len(statuses) - passed} got 429", times=len(statuses))
