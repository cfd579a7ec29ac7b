"""A broken wire to Redis: no reply reaches another caller, what was acknowledged is there, limits hold. (D3, L4)"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from tests.end_to_end.client import Client, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.upstream import DONE, FINISH, Exchange, Upstream, delta, scripted
from tests.reliability.proxy import Proxy, proxied
from tests.reliability.rows import Tally
from tests.reliability.talks import ENDLESS_HISTORY, PARTING, Talk, Told, check, counted, kept
from tests.stores.redis_server import RedisServer

TALKS = 24
KEY = {"X_API_Key": "key"}
HARM_S = 55.0
"""How long all the harm may take."""

EVERY_S = 0.05
LEAVES = 0.1
"""How many of the clients leave in the middle."""

WAITED_S = 8.0
"""For a turn, whatever was done to it: two calls of 2.5 s, and some more."""

RATE, BURST = 5, 5


class EchoTalk(Talk):
    """A conversation whose responses name their question."""

    def whole(self, question: str) -> str:
        return f"{question}: this, that, and {question}."


class Echo:
    """An upstream that records which client received the text of another."""

    def __init__(self) -> None:
        self.strangers: list[str] = []

    async def script(self, exchange: Exchange) -> None:
        messages = [message["content"] for message in exchange.body["messages"]]
        question = messages[-1]
        name = question.split()[0]
        self.strangers += [f"{sent!r} in {name}" for sent in messages if sent.split()[0].rstrip(":") != name]
        await exchange.send_head()
        for text in (f"{question}:", " this,", " that,", f" and {question}."):
            await exchange.send_chunks(delta(text))
            await asyncio.sleep(0.001)
        await exchange.send_chunks(FINISH, DONE)
        await exchange.send_last_chunk()


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Upstream, Echo]]:
    echo = Echo()
    async with scripted() as upstream:
        upstream.script = echo.script
        yield upstream, echo


async def keep_asking(port: int, talk: Talk, *, random: Random, strangers: list[str]) -> None:
    """Turn after turn, now and then left in the middle, now and then read back under fire."""
    while True:
        try:
            async with await Client.connect(port) as client:
                async with asyncio.timeout(WAITED_S):
                    leave_after = random.randrange(1, 4) if random.random() < LEAVES else None
                    exchange = await talk.ask(client, leave_after=leave_after)
                note_strangers(talk, exchange, strangers)
                if exchange.end == "left":
                    continue
                answer = await client.fetch(request(f"/history?conversation={talk.name}", **KEY))
                if answer.status == 200 and answer.body.count(talk.name.encode() + b" ") != answer.body.count(b"talk-"):
                    strangers.append(f"a history of {talk.name}: {answer.body[:200]!r}")
                if exchange.end != "done":
                    await asyncio.sleep(0.02)
        except PARTING as error:
            strangers.append(f"{talk.name} was cut: {error!r}")
            return


def note_strangers(talk: Talk, exchange: Told, strangers: list[str]) -> None:
    if not talk.whole(exchange.question).startswith(exchange.text):
        strangers.append(f"{talk.name} heard {exchange.text!r}")


async def all_harm(proxy: Proxy, tally: Tally) -> None:
    """As much as the test asks for, one fault after the other."""
    async with asyncio.timeout(HARM_S):
        while proxy.done.total() < tally.wanted:
            proxy.harm()
            await asyncio.sleep(EVERY_S)
    proxy.relent()


@pytest.mark.row("wire")
async def test_faults_on_the_wire_mix_up_no_replies_and_lose_no_acknowledged_turn(
    serve: Serve, tally: Tally, random: Random, redis: RedisServer
) -> None:
    async with echoing() as (upstream, echo), proxied(redis.port, random) as proxy:
        server = serve(
            REDIS_URL=proxy.url, UPSTREAM_URL=upstream.url, UPSTREAM_API_KEY="up", API_KEY="key", **ENDLESS_HISTORY
        )
        talks = [EchoTalk(f"talk-{number}", headers=KEY, model=None) for number in range(TALKS)]
        asking = [
            asyncio.ensure_future(keep_asking(server.port, talk, random=random, strangers=echo.strangers))
            for talk in talks
        ]
        await all_harm(proxy, tally)
        for task in asking:
            task.cancel()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        assert [error for error in ended if isinstance(error, Exception)] == []
        await asyncio.sleep(3.0)  # what was late is there
        for talk in talks:
            async with asyncio.timeout(WAITED_S), await Client.connect(server.port) as client:
                assert (await talk.ask(client)).end == "done", "all works when the faults end"
                assert (await client.fetch(request("/readyz"))).status == 200
            check(await kept(server.port, talk.name, **KEY), [talk])
        assert echo.strangers == [], "everybody hears his own"
        refused = counted(talks, "store_unavailable")
        assert refused > 0
        tally.passed(
            f"{counted(talks)} turns acknowledged, all stored; {refused} `store_unavailable`, "
            f"{counted(talks, 'left')} whose clients disconnected; no reply to another caller",
            times=proxy.done.total(),
        )


@pytest.mark.row("limits")
async def test_a_client_is_never_unlimited_while_the_wire_to_the_limiter_is_broken(
    serve: Serve, tally: Tally, random: Random, redis: RedisServer
) -> None:
    allowed = refused = 0

    async def hammer(port: int) -> None:
        nonlocal allowed, refused
        async with await Client.connect(port) as client:
            while True:
                status = (await client.fetch(request("/conversations"))).status
                assert status in {200, 429}
                allowed += status == 200
                refused += status == 429
                await asyncio.sleep(0.002)

    async with proxied(redis.port, random) as proxy:
        server = serve(LIMITS_URL=proxy.url, RATE_LIMIT_RPS=str(RATE), RATE_LIMIT_BURST=str(BURST))
        begun_s = time.monotonic()
        hammers = [asyncio.ensure_future(hammer(server.port)) for _ in range(4)]
        await all_harm(proxy, tally)
        took_s = time.monotonic() - begun_s
        for task in hammers:
            task.cancel()
        ended = await asyncio.gather(*hammers, return_exceptions=True)
        assert [error for error in ended if isinstance(error, Exception)] == []
    # Two limiters that do not know each other's debts, each of them exact.
    most = 2 * (BURST + RATE * took_s)
    assert allowed <= most
    assert refused > allowed
    assert "each process applies its own limits" in server.log(), "both were asked"
    tally.passed(
        f"{allowed} requests passed in {took_s:.0f} s and {refused} got 429; two limiters would let {most:.0f} pass",
        times=proxy.done.total(),
    )
