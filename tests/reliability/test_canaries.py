"""Canary secrets are sent while every store fails: none appears in logs, metrics, errors or process arguments. (P3)"""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.chatting import chat
from tests.end_to_end.client import ClientResponse, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.end_to_end.upstream import DONE, FINISH, Exchange, delta, scripted
from tests.reliability.rows import Tally
from tests.reliability.test_sqlite_trouble import locked
from tests.stores.redis_server import RedisServer

NAMES = (
    "api_key", "second_key", "wrong_bearer", "wrong_key", "redis_password", "old_redis_password", "upstream_key",
    "prompt", "second_prompt", "upstream_prompt", "system", "system_prompt", "conversation", "title", "query",
    "query_name", "idempotency", "last_event", "cookie", "referer", "header", "sim", "answer", "stored", "turn",
)  # fmt: skip
CANARIES = {name: f"canary{number:02}x{number * 7919:06}" for number, name in enumerate(NAMES)}
C = CANARIES
KEY = {"X_API_Key": C["api_key"]}


@pytest.fixture
def guarded_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that requires a user name and a password."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    allow(server)
    yield server
    server.stop()


@pytest.fixture
def redis_without_evalsha(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis without EVALSHA, whose error message repeats the arguments."""
    folder = tmp_path / "odd"
    folder.mkdir()
    server = RedisServer(folder, options=("--rename-command", "EVALSHA", "no-such"))
    yield server
    server.stop()


def allow(server: RedisServer, rules: str = "+@all") -> None:
    assert server.command(f"ACL SETUSER app reset on >{C['redis_password']} ~* &* {rules}") == "+OK"


def requests_with_canaries() -> list[bytes]:
    """Requests with canaries in headers, query strings, paths and bodies."""
    name, key = C["conversation"], {"X_API_Key": C["second_key"]}
    return [
        chat(C["prompt"], conversation=name, headers=KEY),
        chat(C["second_prompt"], conversation=name, stream=False, headers=key),
        chat(C["upstream_prompt"], model=None, conversation=name, headers=KEY),
        request(
            "/chat",
            method="POST",
            body=json.dumps(
                {"messages": [{"role": "system", "content": C["system"]}, {"role": "user", "content": "x"}]}
            ),
            **KEY,
        ),
        chat("x", conversation=name, headers={**KEY, "Idempotency_Key": C["idempotency"]}),
        chat("x", headers={"Authorization": f"Bearer {C['wrong_bearer']}"}),
        chat("x", headers={"X_API_Key": C["wrong_key"]}),
        chat("x", headers={**KEY, "Cookie": C["cookie"], "Referer": f"http://x/?{C['referer']}", "X_Odd": C["header"]}),
        request(f"/history?conversation={name}", **KEY),
        request(f"/history?conversation={C['query']}&{C['query_name']}=1", **KEY),
        request(f"/nowhere?{C['query_name']}={C['query']}", **KEY),
        request("/conversations", **KEY),
        request(f"/conversations/{name}", method="PATCH", body=json.dumps({"title": C["title"]}), **KEY),
        request(f"/chat/turns/{C['turn']}", Last_Event_ID="1", **KEY),
        request("/chat/turns/x", Last_Event_ID=C["last_event"], **KEY),
        request(f"/chat/turns/{C['turn']}/stop", method="POST", **KEY),
        request(f"/history?conversation={name}", method="DELETE", **KEY),
        request("/readyz"),
    ]


class ServerOutput:
    """Collects the output of a server, without response data that the caller may read."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.texts: list[bytes] = []
        self.unavailable = 0

    def note(self, answer: ClientResponse) -> None:
        event = answer.body.rpartition(b"event: error\n")
        if answer.status >= 400 or event[1]:
            self.texts.append(event[2] if event[1] else answer.body)
            self.unavailable += b"store_unavailable" in self.texts[-1]

    async def send_all(self) -> None:
        """Send all requests; at least one must fail with `store_unavailable`."""
        before = self.unavailable
        for data in requests_with_canaries():
            self.note(await fetch(self.server.port, data))
        assert self.unavailable > before

    async def all(self) -> str:
        self.note(await fetch(self.server.port, request("/metrics")))
        metrics = (await fetch(self.server.port, request("/metrics"))).body
        command = await asyncio.to_thread(Path(f"/proc/{self.server.process.pid}/cmdline").read_bytes)
        self.server.signal()
        assert await asyncio.to_thread(self.server.wait) == 0
        return b"\n".join([*self.texts, metrics, command]).decode() + self.server.log() + self.server.remaining_stdout()


async def answer_with_canary(exchange: Exchange) -> None:
    """An upstream script: the response contains a canary."""
    await exchange.send_head()
    await exchange.send_chunks(delta(C["answer"]), FINISH, DONE)
    await exchange.send_last_chunk()


async def provoke_redis_errors(server: ServerProcess, redis: RedisServer) -> str:
    output = ServerOutput(server)
    for data in requests_with_canaries():
        output.note(await fetch(server.port, data))
    for rules in ("+@all -eval -evalsha", "+@all -@write", "-@all"):
        allow(redis, rules)
        await output.send_all()
    allow(redis)
    assert redis.command(f"ACL SETUSER app resetpass >{C['old_redis_password']}") == "+OK"
    redis.command("CLIENT KILL TYPE normal")  # WRONGPASS for every new connection
    await output.send_all()
    allow(redis)
    assert redis.command("CONFIG SET maxmemory 1") == "+OK"
    await output.send_all()
    assert redis.command("CONFIG SET maxmemory 0") == "+OK"
    assert redis.command("FLUSHALL") == "+OK"
    output.note(await fetch(server.port, chat("x", conversation=C["conversation"], headers=KEY)))
    (key,) = [key for key in keys(redis) if ":conversation:" in key]
    assert redis.command(f"DEL {key}") == ":1"
    assert redis.command(f"SET {key} {C['stored']}") == "+OK"  # WRONGTYPE
    await output.send_all()
    redis.kill()
    await output.send_all()
    return await output.all()


def keys(redis: RedisServer) -> list[str]:
    found = redis.command("EVAL \"return table.concat(redis.call('KEYS', '*'), ' ')\" 0")
    return found.split()


async def provoke_evalsha_errors(server: ServerProcess) -> str:
    output = ServerOutput(server)
    await output.send_all()
    assert "unknown command" in server.log(), "EVALSHA has failed"
    return await output.all()


async def provoke_sqlite_errors(server: ServerProcess, database: Path) -> str:
    output = ServerOutput(server)
    for data in requests_with_canaries()[:3]:
        output.note(await fetch(server.port, data))
    with locked(database):
        for data in (requests_with_canaries()[0], requests_with_canaries()[12]):
            output.note(await fetch(server.port, data))
    await asyncio.to_thread(corrupt_turns, database)
    output.note(await fetch(server.port, requests_with_canaries()[0]))
    output.note(await fetch(server.port, requests_with_canaries()[8]))
    await asyncio.to_thread(database.write_bytes, C["stored"].encode() * 1000)
    for data in requests_with_canaries():
        output.note(await fetch(server.port, data))
    assert output.unavailable > 3
    return await output.all()


def corrupt_turns(database: Path) -> None:
    """Replace all stored turns with invalid documents."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("UPDATE turns SET document = ?", (C["stored"].encode(),))
    connection.close()


def context(text: str, canary: str) -> str:
    """The text around the first occurrence of a canary."""
    before, found, after = text.partition(canary)
    return f"{before[-200:]}{found}{after[:200]}" if found else ""


@pytest.mark.row("canaries")
async def test_no_secret_is_written_when_stores_fail(
    serve: Serve, tally: Tally, tmp_path: Path, guarded_redis: RedisServer, redis_without_evalsha: RedisServer
) -> None:
    async with scripted() as upstream:
        upstream.script = answer_with_canary
        environment = {
            "API_KEY": f"{C['api_key']},{C['second_key']}",
            "UPSTREAM_URL": upstream.url,
            "UPSTREAM_API_KEY": C["upstream_key"],
            "SYSTEM_PROMPT": C["system_prompt"],
            "LOG_LEVEL": "debug",
        }
        database = tmp_path / "chat.db"
        url = f"redis://app:{C['redis_password']}@127.0.0.1:{guarded_redis.port}/0"
        on_redis = serve(REDIS_URL=url, RATE_LIMIT_RPS="100000", RATE_LIMIT_BURST="100000", **environment)
        without_evalsha = serve(
            REDIS_URL=redis_without_evalsha.url, RATE_LIMIT_RPS="100000", RATE_LIMIT_BURST="100000", **environment
        )
        on_sqlite = serve(HISTORY_URL=f"sqlite:///{database}", **environment)
        texts = await asyncio.gather(
            provoke_redis_errors(on_redis, guarded_redis),
            provoke_evalsha_errors(without_evalsha),
            provoke_sqlite_errors(on_sqlite, database),
        )
    assert all(text.count('"logger":"access"') > 10 for text in texts), "requests were logged"
    found = [name for name, canary in CANARIES.items() if any(canary in text for text in texts)]
    assert found == [], [context(text, C[name]) for name in found for text in texts]
    warnings = sum(text.count('"level":"warning"') for text in texts)
    tally.passed(f"{len(found)} of {len(CANARIES)} found, {warnings} warnings logged", count=len(CANARIES))
