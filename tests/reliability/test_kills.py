"""SIGKILL at random times: every acknowledged turn is stored once, completely and in order. (D2)"""

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.client import fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import eventually
from tests.reliability.rows import Tally
from tests.reliability.virtual_users import (
    UNLIMITED_HISTORY,
    VirtualUser,
    check_history,
    count_requested,
    count_turns,
    kill,
    random_delay,
    stored_messages,
    under_load,
)
from tests.stores.redis_server import RedisServer

USERS = 6
REFUSED = "store_unavailable"


def make_users() -> list[VirtualUser]:
    """Users whose responses have different lengths."""
    return [VirtualUser(f"user-{number}", tokens=3 + number) for number in range(USERS)]


async def wait_for_turns(users: list[VirtualUser], target: int) -> None:
    """Wait until more than `target` turns are acknowledged."""
    await eventually(lambda: count_turns(users) > target, lambda: count_turns(users))


async def check_histories(port: int, users: list[VirtualUser]) -> int:
    """Check the conversation of each user. Returns the number of interrupted turns."""
    return sum([check_history(await stored_messages(port, user.name), [user]) for user in users])


async def kill_repeatedly(serve: Serve, environment: dict[str, str], *, tally: Tally, random: Random) -> str:
    users = make_users()
    for number in tally.rounds():
        server = serve(**environment)
        requested, acknowledged = count_requested(users), count_turns(users)
        async with under_load(server.port, users):
            await eventually(lambda: count_requested(users) > requested, lambda: "no user requests a turn")  # noqa: B023 - awaited here
            if number % 2 == 0:  # in odd rounds the server may be killed before it acknowledges a turn
                await wait_for_turns(users, acknowledged + 2)
            await random_delay(random, 0.0, 0.3)
            kill(server)
    server = serve(**environment)
    partly = await check_histories(server.port, users)
    assert count_turns(users) > tally.attempts, "turns were acknowledged before the kills"
    truncated = count_turns(users, "truncated")
    assert truncated > tally.attempts // 2, "the kills interrupted turns"
    return f"{count_turns(users)} turns acknowledged, all stored; {truncated} truncated, {partly} stored partly"


@pytest.mark.row("sqlite kill")
async def test_killed_server_on_sqlite_loses_no_acknowledged_turn(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    environment = {"HISTORY_URL": f"sqlite:///{tmp_path}/chat.db", **UNLIMITED_HISTORY}

    tally.passed(await kill_repeatedly(serve, environment, tally=tally, random=random))


@pytest.mark.row("redis kill")
async def test_killed_server_on_redis_loses_no_acknowledged_turn(
    serve: Serve, tally: Tally, random: Random, redis: RedisServer
) -> None:
    environment = {"REDIS_URL": redis.url, **UNLIMITED_HISTORY}

    tally.passed(await kill_repeatedly(serve, environment, tally=tally, random=random))


@pytest.mark.row("redis killed")
async def test_killed_redis_keeps_every_acknowledged_turn_once(
    serve: Serve, tally: Tally, random: Random, durable_redis: RedisServer
) -> None:
    server = serve(REDIS_URL=durable_redis.url, **UNLIMITED_HISTORY)
    users = make_users()
    async with under_load(server.port, users):
        for _ in tally.rounds():
            await random_delay(random, 0.05, 0.4)
            target = count_turns(users) + USERS
            durable_redis.kill()
            if not count_turns(users, REFUSED):
                await eventually(lambda: count_turns(users, REFUSED) > 0, lambda: "no turn fails")
            await random_delay(random, 0.0, 0.2)
            await asyncio.to_thread(durable_redis.restart)
            await wait_for_turns(users, target)
    assert (await fetch(server.port, request("/readyz"))).status == 200
    await check_histories(server.port, users)
    refused = count_turns(users, REFUSED)
    assert refused > 0
    tally.passed(f"{count_turns(users)} turns acknowledged, all stored; {refused} refused with `{REFUSED}`")
