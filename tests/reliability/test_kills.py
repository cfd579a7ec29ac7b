"""kill -9 at random moments: what was acknowledged is there, once, in order, and whole. (D2)"""

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.client import fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import eventually
from tests.reliability.rows import Tally
from tests.reliability.talks import ENDLESS_HISTORY, Talk, check, counted, kept, kill, moment, request_of, under_load
from tests.stores.redis_server import RedisServer

TALKS = 6
REFUSED = "store_unavailable"


def conversations() -> list[Talk]:
    """Each with a response of its own length."""
    return [Talk(f"talk-{number}", tokens=3 + number) for number in range(TALKS)]


async def reached(talks: list[Talk], target: int) -> None:
    """More than `target` turns are acknowledged."""
    await eventually(lambda: counted(talks) > target, lambda: counted(talks))


async def interrupted(port: int, talks: list[Talk]) -> int:
    """How many turns are; each conversation is checked on the way."""
    return sum([check(await kept(port, talk.name), [talk]) for talk in talks])


async def killed_again_and_again(serve: Serve, environment: dict[str, str], *, tally: Tally, random: Random) -> str:
    talks = conversations()
    for number in tally.rounds():
        server = serve(**environment)
        begun, done = request_of(talks), counted(talks)
        async with under_load(server.port, talks):
            await eventually(lambda: request_of(talks) > begun, lambda: "nobody asks")  # noqa: B023 - awaited here
            if number % 2 == 0:  # in the other rounds, it may be killed before it has acknowledged anything
                await reached(talks, done + 2)
            await moment(random, 0.0, 0.3)
            kill(server)
    server = serve(**environment)
    partly = await interrupted(server.port, talks)
    assert counted(talks) > tally.begun, "there was something to lose"
    assert counted(talks, "cut") > tally.begun // 2, "it was killed at work"
    return f"{counted(talks)} turns acknowledged, all stored; {counted(talks, 'cut')} truncated, {partly} stored partly"


@pytest.mark.row("sqlite kill")
async def test_a_server_killed_on_sqlite_loses_nothing_acknowledged(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    environment = {"HISTORY_URL": f"sqlite:///{tmp_path}/chat.db", **ENDLESS_HISTORY}

    tally.passed(await killed_again_and_again(serve, environment, tally=tally, random=random))


@pytest.mark.row("redis kill")
async def test_a_server_killed_on_redis_loses_nothing_acknowledged(
    serve: Serve, tally: Tally, random: Random, redis: RedisServer
) -> None:
    environment = {"REDIS_URL": redis.url, **ENDLESS_HISTORY}

    tally.passed(await killed_again_and_again(serve, environment, tally=tally, random=random))


@pytest.mark.row("redis killed")
async def test_a_redis_that_is_killed_has_every_acknowledged_turn_once(
    serve: Serve, tally: Tally, random: Random, lasting_redis: RedisServer
) -> None:
    server = serve(REDIS_URL=lasting_redis.url, **ENDLESS_HISTORY)
    talks = conversations()
    async with under_load(server.port, talks):
        for _ in tally.rounds():
            await moment(random, 0.05, 0.4)
            target = counted(talks) + TALKS
            lasting_redis.kill()
            if not counted(talks, REFUSED):
                await eventually(lambda: counted(talks, REFUSED) > 0, lambda: "nobody is refused")
            await moment(random, 0.0, 0.2)
            await asyncio.to_thread(lasting_redis.restart)
            await reached(talks, target)
    assert (await fetch(server.port, request("/readyz"))).status == 200
    await interrupted(server.port, talks)
    refused = counted(talks, REFUSED)
    assert refused > 0
    tally.passed(f"{counted(talks)} turns acknowledged, all stored; {refused} refused with `{REFUSED}`")
