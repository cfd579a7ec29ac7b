"""The address of Redis leads to another server from now on: the chat recovers by itself. (D3)

The address is a proxy's, as a name or a virtual IP would be. What Redis had acknowledged and not replicated is lost
when it dies, as docs/operations.md says; everything else is there, once and in order.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.client import PATIENCE_S, fetch, request
from tests.end_to_end.conftest import Serve
from tests.reliability.proxy import Proxy, proxied
from tests.reliability.rows import Tally
from tests.reliability.talks import ENDLESS_HISTORY, Talk, check, counted, kept, moment, under_load
from tests.reliability.test_kills import reached
from tests.stores.redis_server import RedisServer

TALKS = 6

WRITTEN = re.compile(r"^master_repl_offset:([0-9]+)", re.MULTILINE)
ACKNOWLEDGED = re.compile(r"^slave0:.*state=online,offset=([0-9]+)", re.MULTILINE)


class Pair:
    """A master and its replica, which change places."""

    def __init__(self, master: RedisServer, replica: RedisServer) -> None:
        self.master = master
        self.replica = replica

    async def replicating(self) -> None:
        """The replica has all that the master has now, and is sent what comes; to be called under load."""
        assert self.replica.command(f"REPLICAOF 127.0.0.1 {self.master.port}").startswith("+OK")
        at_least: int | None = None
        async with asyncio.timeout(PATIENCE_S):
            while True:
                text = await asyncio.to_thread(self.master.command, "INFO replication")
                written, acknowledged = WRITTEN.search(text), ACKNOWLEDGED.search(text)
                assert written is not None
                at_least = int(written[1]) if at_least is None else at_least
                if acknowledged is not None and int(acknowledged[1]) >= at_least:
                    return
                await asyncio.sleep(0.01)

    def changed(self) -> None:
        self.master, self.replica = self.replica, self.master


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(RedisServer(tmp_path / name, options=("--repl-diskless-sync-delay", "0")))
    yield Pair(*servers)
    for server in servers:
        server.stop()


async def killed(pair: Pair, proxy: Proxy) -> None:
    """The master dies, and the replica takes its place."""
    await asyncio.to_thread(pair.master.kill)
    assert pair.replica.command("REPLICAOF NO ONE") == "+OK"
    proxy.to = pair.replica.port
    await asyncio.to_thread(pair.master.restart)
    pair.changed()
    await pair.replicating()


async def demoted(pair: Pair, proxy: Proxy) -> None:
    """Master and replica change places with nothing lost; connections to the old master stay open."""
    assert pair.master.command(f"FAILOVER TO 127.0.0.1 {pair.replica.port}") == "+OK"
    async with asyncio.timeout(PATIENCE_S):
        while "role:master" not in await asyncio.to_thread(pair.replica.command, "INFO replication"):
            pass
    proxy.to = pair.replica.port
    pair.changed()
    await pair.replicating()


class Asked:
    """A talk, and how many turns it had requested before and after each failover. The last is in progress; those before
    it are replicated before Redis fails.
    """

    def __init__(self, name: str, *, tokens: int) -> None:
        self.talk = Talk(name, tokens=tokens)
        self._before: list[int] = []
        self._after: list[int] = []

    def about_to_change(self) -> None:
        self._before.append(len(self.talk.told))

    def has_changed(self) -> None:
        self._after.append(len(self.talk.told))

    async def check(self, port: int) -> int:
        """How many acknowledged turns are lost; fails unless all others are there."""
        messages = await kept(port, self.talk.name)
        ids = {message["turn"] for message in messages if "turn" in message}
        lost = [
            place
            for place, exchange in enumerate(self.talk.told)
            if exchange.end == "done" and exchange.turn not in ids
        ]
        for place in lost:
            assert any(before - 1 <= place < after for before, after in zip(self._before, self._after, strict=True)), (
                f"turn {place} was not under way at a failover"
            )
            self.talk.told[place].end = "lost"
        check(messages, [self.talk])
        return len(lost)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(killed, marks=pytest.mark.row("failover")),
        pytest.param(demoted, marks=pytest.mark.row("demoted")),
    ],
)
async def test_turns_are_stored_again_after_a_redis_failover(
    serve: Serve, tally: Tally, random: Random, pair: Pair, change: Callable[[Pair, Proxy], Awaitable[None]]
) -> None:
    requests = [Asked(f"failover-{number}", tokens=3 + number) for number in range(TALKS)]
    talks = [each.talk for each in requests]
    async with proxied(pair.master.port, random) as proxy:
        server = serve(REDIS_URL=proxy.url, **ENDLESS_HISTORY)
        async with under_load(server.port, talks):
            await reached(talks, TALKS)
            await pair.replicating()
            for _ in tally.rounds():
                await reached(talks, counted(talks) + TALKS)
                await moment(random, 0.05, 0.3)
                for each in requests:
                    each.about_to_change()
                await pair.replicating()
                await change(pair, proxy)
                for each in requests:
                    each.has_changed()
                await reached(talks, counted(talks) + TALKS)
        assert (await fetch(server.port, request("/readyz"))).status == 200
        lost = sum([await each.check(server.port) for each in requests])
    assert change is killed or lost == 0, "nothing is lost where the replica had everything"
    refused = counted(talks, "store_unavailable")
    tally.passed(
        f"{counted(talks)} turns acknowledged and stored, {lost} that were not replicated lost; {refused} "
        f"`store_unavailable`"
    )
