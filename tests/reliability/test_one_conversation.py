"""Several processes serve one conversation concurrently: turns do not interleave and none is lost."""

import asyncio
from itertools import pairwise

import pytest

from tests.end_to_end.conftest import Serve
from tests.reliability.rows import Tally
from tests.reliability.virtual_users import UNLIMITED_HISTORY, VirtualUser, check_history, count_turns, stored_messages
from tests.stores.redis_server import RedisServer

CLIENTS = 10
"""Clients of the conversation; their responses have different lengths."""


async def run_clients(ports: list[int], tally: Tally) -> str:
    count = tally.required // CLIENTS
    users = [VirtualUser("shared", tokens=3 + number, tag=f" client {number}") for number in range(CLIENTS)]
    await asyncio.gather(
        *(user.request_turns(ports[number % len(ports)], count=count) for number, user in enumerate(users))
    )
    views = [await stored_messages(port, "shared") for port in ports]
    assert all(view == views[0] for view in views), "all processes return the same order"
    assert check_history(views[0], users) == 0
    assert len(views[0]) == 2 * tally.required, "every requested turn is stored"
    tally.passed("", count=count_turns(users))
    clients = [question["content"].rpartition(" ")[0] for question in views[0][::2]]
    switches = sum(one != other for one, other in pairwise(clients))
    assert switches > CLIENTS, "the clients' turns overlapped"
    return (
        f"{count_turns(users)} turns complete and in order; "
        f"{switches} pairs of consecutive turns are of different clients"
    )


@pytest.mark.row("one conversation")
async def test_two_processes_serve_one_conversation(serve: Serve, tally: Tally, redis: RedisServer) -> None:
    servers = [serve(REDIS_URL=redis.url, **UNLIMITED_HISTORY) for _ in range(2)]

    tally.result = await run_clients([server.port for server in servers], tally)


@pytest.mark.row("two workers")
async def test_two_workers_serve_one_conversation(serve: Serve, tally: Tally, redis: RedisServer) -> None:
    server = serve(REDIS_URL=redis.url, WORKERS="2", **UNLIMITED_HISTORY)

    tally.result = await run_clients([server.port], tally)
