"""Network faults between server and Redis: no caller gets another's reply, no acknowledged turn is lost, rate limits
apply. (D3, L4)
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from tests.end_to_end.client import Client, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.upstream import DONE, FINISH, Exchange, Upstream, delta, scripted
from tests.reliability.fault_proxy import FaultProxy, running_proxy
from tests.reliability.rows import Tally
from tests.reliability.virtual_users import (
    DISCONNECT_ERRORS,
    UNLIMITED_HISTORY,
    TurnRecord,
    VirtualUser,
    check_history,
    count_turns,
    stored_messages,
)
from tests.stores.redis_server import RedisServer

USERS = 24
KEY = {"X_API_Key": "key"}
INJECTION_S = 55.0
"""The time limit for injecting all faults."""

INTERVAL_S = 0.05
DISCONNECT_PROBABILITY = 0.1
"""The probability that a client disconnects during a turn."""

TURN_S = 8.0
"""The time limit of a turn: two Redis calls of 2.5 s each, and a margin."""

RATE, BURST = 5, 5


class EchoUser(VirtualUser):
    """A user whose responses repeat the question, which contains the name of the conversation."""

    def expected_text(self, question: str) -> str:
        return f"{question}: this, that, and {question}."


class EchoUpstream:
    """An upstream that repeats the question, and records requests that contain messages of another conversation."""

    def __init__(self) -> None:
        self.mix_ups: list[str] = []

    async def script(self, exchange: Exchange) -> None:
        messages = [message["content"] for message in exchange.body["messages"]]
        question = messages[-1]
        name = question.split()[0]
        self.mix_ups += [f"{text!r} in {name}" for text in messages if text.split()[0].rstrip(":") != name]
        await exchange.send_head()
        for text in (f"{question}:", " this,", " that,", f" and {question}."):
            await exchange.send_chunks(delta(text))
            await asyncio.sleep(0.001)
        await exchange.send_chunks(FINISH, DONE)
        await exchange.send_last_chunk()


@asynccontextmanager
async def echo_upstream() -> AsyncIterator[tuple[Upstream, EchoUpstream]]:
    echo = EchoUpstream()
    async with scripted() as upstream:
        upstream.script = echo.script
        yield upstream, echo


async def request_turns(port: int, user: VirtualUser, *, random: Random, mix_ups: list[str]) -> None:
    """Request turns and read the history after each one, while faults are injected; sometimes disconnect early."""
    while True:
        try:
            async with await Client.connect(port) as client:
                async with asyncio.timeout(TURN_S):
                    leave_after = random.randrange(1, 4) if random.random() < DISCONNECT_PROBABILITY else None
                    record = await user.request_turn(client, leave_after=leave_after)
                check_text(user, record, mix_ups)
                if record.outcome == "disconnected":
                    continue
                answer = await client.fetch(request(f"/history?conversation={user.name}", **KEY))
                if answer.status == 200 and answer.body.count(user.name.encode() + b" ") != answer.body.count(b"user-"):
                    mix_ups.append(f"history of {user.name}: {answer.body[:200]!r}")
                if record.outcome != "done":
                    await asyncio.sleep(0.02)
        except DISCONNECT_ERRORS as error:
            mix_ups.append(f"connection of {user.name} ended: {error!r}")
            return


def check_text(user: VirtualUser, record: TurnRecord, mix_ups: list[str]) -> None:
    if not user.expected_text(record.question).startswith(record.text):
        mix_ups.append(f"{user.name} received {record.text!r}")


async def inject_faults(proxy: FaultProxy, tally: Tally) -> None:
    """Inject the required number of faults at a fixed rate."""
    async with asyncio.timeout(INJECTION_S):
        while proxy.injected.total() < tally.required:
            proxy.add_fault()
            await asyncio.sleep(INTERVAL_S)
    proxy.clear_faults()


@pytest.mark.row("wire")
async def test_network_faults_mix_up_no_replies_and_lose_no_acknowledged_turn(
    serve: Serve, tally: Tally, random: Random, redis: RedisServer
) -> None:
    async with echo_upstream() as (upstream, echo), running_proxy(redis.port, random) as proxy:
        server = serve(
            REDIS_URL=proxy.url, UPSTREAM_URL=upstream.url, UPSTREAM_API_KEY="up", API_KEY="key", **UNLIMITED_HISTORY
        )
        users = [EchoUser(f"user-{number}", headers=KEY, model=None) for number in range(USERS)]
        tasks = [
            asyncio.ensure_future(request_turns(server.port, user, random=random, mix_ups=echo.mix_ups))
            for user in users
        ]
        await inject_faults(proxy, tally)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [error for error in ended if isinstance(error, Exception)] == []
        await asyncio.sleep(3.0)  # until all delayed replies have arrived
        for user in users:
            async with asyncio.timeout(TURN_S), await Client.connect(server.port) as client:
                assert (await user.request_turn(client)).outcome == "done", "recovery after the faults"
                assert (await client.fetch(request("/readyz"))).status == 200
            check_history(await stored_messages(server.port, user.name, **KEY), [user])
        assert echo.mix_ups == [], "each client receives its own text"
        refused = count_turns(users, "store_unavailable")
        assert refused > 0
        tally.passed(
            f"{count_turns(users)} turns acknowledged, all stored; {refused} `store_unavailable`, "
            f"{count_turns(users, 'disconnected')} whose clients disconnected; no reply to another caller",
            count=proxy.injected.total(),
        )


@pytest.mark.row("limits")
async def test_requests_are_limited_during_network_faults_to_redis(
    serve: Serve, tally: Tally, random: Random, redis: RedisServer
) -> None:
    allowed = refused = 0

    async def send_requests(port: int) -> None:
        nonlocal allowed, refused
        async with await Client.connect(port) as client:
            while True:
                status = (await client.fetch(request("/conversations"))).status
                assert status in {200, 429}
                allowed += status == 200
                refused += status == 429
                await asyncio.sleep(0.002)

    async with running_proxy(redis.port, random) as proxy:
        server = serve(LIMITS_URL=proxy.url, RATE_LIMIT_RPS=str(RATE), RATE_LIMIT_BURST=str(BURST))
        start_s = time.monotonic()
        tasks = [asyncio.ensure_future(send_requests(server.port)) for _ in range(4)]
        await inject_faults(proxy, tally)
        took_s = time.monotonic() - start_s
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [error for error in ended if isinstance(error, Exception)] == []
    # The shared and the local limiter have separate buckets; each of them is exact.
    most = 2 * (BURST + RATE * took_s)
    assert allowed <= most
    assert refused > allowed
    assert "each process applies its own limits" in server.log(), "the local limiter took over"
    tally.passed(
        f"{allowed} requests passed in {took_s:.0f} s and {refused} got 429; two limiters would let {most:.0f} pass",
        count=proxy.injected.total(),
    )
