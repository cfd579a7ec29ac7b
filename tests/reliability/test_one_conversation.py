"""Several processes respond in one conversation at the same time: turns never interleave and none is lost."""

import asyncio
from itertools import pairwise

import pytest

from tests.end_to_end.conftest import Serve
from tests.reliability.rows import Tally
from tests.reliability.talks import ENDLESS_HISTORY, Talk, check, counted, kept
from tests.stores.redis_server import RedisServer

CLIENTS = 10
"""Of one conversation, each with responses of its own length."""


async def asked_at_once(ports: list[int], tally: Tally) -> str:
    most = tally.wanted // CLIENTS
    talks = [Talk("shared", tokens=3 + number, tag=f" client {number}") for number in range(CLIENTS)]
    await asyncio.gather(
        *(talk.keep_asking(ports[number % len(ports)], most=most) for number, talk in enumerate(talks))
    )
    views = [await kept(port, "shared") for port in ports]
    assert all(view == views[0] for view in views), "all see the same order"
    assert check(views[0], talks) == 0
    assert len(views[0]) == 2 * tally.wanted, "every turn, not only the acknowledged"
    tally.passed("", times=counted(talks))
    switches = sum(a["content"].rpartition(" ")[0] != b["content"].rpartition(" ")[0] for a, b in in_pairs(views[0]))
    assert switches > CLIENTS, "they did answer at the same time"
    return (
        f"{counted(talks)} turns complete and in order; {switches} pairs of consecutive turns are of different clients"
    )


def in_pairs(messages: list[dict[str, str]]) -> list[tuple[dict[str, str], dict[str, str]]]:
    questions = messages[::2]
    return list(pairwise(questions))


@pytest.mark.row("one conversation")
async def test_two_processes_serve_one_conversation(serve: Serve, tally: Tally, redis: RedisServer) -> None:
    servers = [serve(REDIS_URL=redis.url, **ENDLESS_HISTORY) for _ in range(2)]

    tally.seen = await asked_at_once([server.port for server in servers], tally)


@pytest.mark.row("two workers")
async def test_two_workers_serve_one_conversation(serve: Serve, tally: Tally, redis: RedisServer) -> None:
    server = serve(REDIS_URL=redis.url, WORKERS="2", **ENDLESS_HISTORY)

    tally.seen = await asked_at_once([server.port], tally)
