"""Redis failover: the address of Redis leads to another server, and the chat recovers automatically. (D3)

The server connects to a proxy, which stands for a DNS name or a virtual IP. Writes that a primary acknowledged but did
not replicate before it was killed are lost (docs/operations.md). All others must be stored once and in order.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.client import PATIENCE_S, fetch, request
from tests.end_to_end.conftest import Serve
from tests.reliability.fault_proxy import FaultProxy, running_proxy
from tests.reliability.rows import Tally
from tests.reliability.test_kills import wait_for_turns
from tests.reliability.virtual_users import (
    UNLIMITED_HISTORY,
    VirtualUser,
    check_history,
    count_turns,
    random_delay,
    stored_messages,
    under_load,
)
from tests.stores.redis_server import RedisServer

USERS = 6

PRIMARY_OFFSET = re.compile(r"^master_repl_offset:([0-9]+)", re.MULTILINE)
REPLICA_OFFSET = re.compile(r"^slave0:.*state=online,offset=([0-9]+)", re.MULTILINE)


class Pair:
    """A primary and its replica."""

    def __init__(self, primary: RedisServer, replica: RedisServer) -> None:
        self.primary = primary
        self.replica = replica

    async def wait_until_replicated(self) -> None:
        """Start replication under load; return when the replica has acknowledged all writes made before the call."""
        command = f"REPLICAOF 127.0.0.1 {self.primary.port}"
        at_least: int | None = None
        async with asyncio.timeout(PATIENCE_S):
            while True:
                reply = await asyncio.to_thread(self.replica.command, command)
                if not reply.startswith("-LOADING"):
                    break
                await asyncio.sleep(0.01)
            assert reply.startswith("+OK"), reply
            while True:
                text = await asyncio.to_thread(self.primary.command, "INFO replication")
                written, acknowledged = PRIMARY_OFFSET.search(text), REPLICA_OFFSET.search(text)
                assert written is not None
                at_least = int(written[1]) if at_least is None else at_least
                if acknowledged is not None and int(acknowledged[1]) >= at_least:
                    return
                await asyncio.sleep(0.01)

    def swap(self) -> None:
        self.primary, self.replica = self.replica, self.primary


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(RedisServer(tmp_path / name, options=("--repl-diskless-sync-delay", "0")))
    yield Pair(*servers)
    for server in servers:
        server.stop()


async def kill_primary(pair: Pair, proxy: FaultProxy) -> None:
    """Kill the primary and promote the replica."""
    await asyncio.to_thread(pair.primary.kill)
    assert pair.replica.command("REPLICAOF NO ONE") == "+OK"
    proxy.target_port = pair.replica.port
    await asyncio.to_thread(pair.primary.restart)
    pair.swap()
    await pair.wait_until_replicated()


async def fail_over(pair: Pair, proxy: FaultProxy) -> None:
    """Exchange the roles without data loss. Connections to the old primary stay open."""
    assert pair.primary.command(f"FAILOVER TO 127.0.0.1 {pair.replica.port}") == "+OK"
    async with asyncio.timeout(PATIENCE_S):
        while "role:master" not in await asyncio.to_thread(pair.replica.command, "INFO replication"):
            pass
    proxy.target_port = pair.replica.port
    pair.swap()
    await pair.wait_until_replicated()


class FailoverUser:
    """A virtual user, and its number of requested turns before and after each failover.

    Only the turn in progress at a failover may be lost; earlier turns are replicated before it.
    """

    def __init__(self, name: str, *, tokens: int) -> None:
        self.user = VirtualUser(name, tokens=tokens)
        self._before: list[int] = []
        self._after: list[int] = []

    def before_failover(self) -> None:
        self._before.append(len(self.user.records))

    def after_failover(self) -> None:
        self._after.append(len(self.user.records))

    async def count_lost(self, port: int) -> int:
        """Count the acknowledged turns that are lost. Fails if one of them was not in progress at a failover."""
        messages = await stored_messages(port, self.user.name)
        ids = {message["turn"] for message in messages if "turn" in message}
        lost = [
            place
            for place, record in enumerate(self.user.records)
            if record.outcome == "done" and record.turn_id not in ids
        ]
        for place in lost:
            assert any(before - 1 <= place < after for before, after in zip(self._before, self._after, strict=True)), (
                f"turn {place} was not in progress at a failover"
            )
            self.user.records[place].outcome = "lost"
        check_history(messages, [self.user])
        return len(lost)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(kill_primary, marks=pytest.mark.row("failover")),
        pytest.param(fail_over, marks=pytest.mark.row("demoted")),
    ],
)
async def test_turns_are_stored_again_after_a_redis_failover(
    serve: Serve, tally: Tally, random: Random, pair: Pair, change: Callable[[Pair, FaultProxy], Awaitable[None]]
) -> None:
    failover_users = [FailoverUser(f"failover-{number}", tokens=3 + number) for number in range(USERS)]
    users = [each.user for each in failover_users]
    async with running_proxy(pair.primary.port, random) as proxy:
        server = serve(REDIS_URL=proxy.url, **UNLIMITED_HISTORY)
        async with under_load(server.port, users):
            await wait_for_turns(users, USERS)
            await pair.wait_until_replicated()
            for _ in tally.rounds():
                await wait_for_turns(users, count_turns(users) + USERS)
                await random_delay(random, 0.05, 0.3)
                for each in failover_users:
                    each.before_failover()
                await pair.wait_until_replicated()
                await change(pair, proxy)
                for each in failover_users:
                    each.after_failover()
                await wait_for_turns(users, count_turns(users) + USERS)
        assert (await fetch(server.port, request("/readyz"))).status == 200
        lost = sum([await each.count_lost(server.port) for each in failover_users])
    assert change is kill_primary or lost == 0, "a planned failover loses nothing"
    refused = count_turns(users, "store_unavailable")
    tally.passed(
        f"{count_turns(users)} turns acknowledged and stored, {lost} that were not replicated lost; {refused} "
        f"`store_unavailable`"
    )
