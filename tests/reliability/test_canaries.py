"""Secrets are planted, and every store fails: none of them is written anywhere. (P3)"""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.chatting import chat
from tests.end_to_end.client import Answer, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.end_to_end.upstream import DONE, FINISH, Exchange, delta, scripted
from tests.reliability.rows import Tally
from tests.reliability.test_sqlite_trouble import locked
from tests.stores.redis_server import RedisServer

NAMES = (
    "api_key", "second_key", "wrong_bearer", "wrong_key", "redis_password", "old_redis_password", "upstream_key",
    "prompt", "second_prompt", "upstream_prompt", "system", "system_prompt", "conversation", "title", "query",
    "query_name", "idempotency", "last_event", "cookie", "referer", "header", "sim", "answer", "kept", "turn",
)  # fmt: skip
CANARIES = {name: f"canary{number:02}x{number * 7919:06}" for number, name in enumerate(NAMES)}
C = CANARIES
KEY = {"X_API_Key": C["api_key"]}


@pytest.fixture
def guarded_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis with a user that has a password."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    allow(server)
    yield server
    server.stop()


@pytest.fixture
def odd_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that does not know EVALSHA, and repeats the arguments in its error."""
    folder = tmp_path / "odd"
    folder.mkdir()
    server = RedisServer(folder, options=("--rename-command", "EVALSHA", "no-such"))
    yield server
    server.stop()


def allow(server: RedisServer, rules: str = "+@all") -> None:
    assert server.ask(f"ACL SETUSER app reset on >{C['redis_password']} ~* &* {rules}") == "+OK"


def asks() -> list[bytes]:
    """Requests that carry the canaries in every place there is."""
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


class Written:
    """All that a server let out, but for what its callers may read."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.texts: list[bytes] = []
        self.unavailable = 0

    def note(self, answer: Answer) -> None:
        event = answer.body.rpartition(b"event: error\n")
        if answer.status >= 400 or event[1]:
            self.texts.append(event[2] if event[1] else answer.body)
            self.unavailable += b"store_unavailable" in self.texts[-1]

    async def ask_all(self) -> None:
        """Failures must be those of the store: at least one of the responses names it."""
        before = self.unavailable
        for data in asks():
            self.note(await fetch(self.server.port, data))
        assert self.unavailable > before

    async def all(self) -> str:
        self.note(await fetch(self.server.port, request("/metrics")))
        metrics = (await fetch(self.server.port, request("/metrics"))).body
        command = await asyncio.to_thread(Path(f"/proc/{self.server.process.pid}/cmdline").read_bytes)
        self.server.signal()
        assert await asyncio.to_thread(self.server.wait) == 0
        return b"\n".join([*self.texts, metrics, command]).decode() + self.server.log() + self.server.greeting()


async def teller(exchange: Exchange) -> None:
    """An upstream whose responses are confidential."""
    await exchange.begin()
    await exchange.say(delta(C["answer"]), FINISH, DONE)
    await exchange.end()


async def redis_in_trouble(server: ServerProcess, redis: RedisServer) -> str:
    written = Written(server)
    for data in asks():
        written.note(await fetch(server.port, data))
    for rules in ("+@all -eval -evalsha", "+@all -@write", "-@all"):
        allow(redis, rules)
        await written.ask_all()
    allow(redis)
    assert redis.ask(f"ACL SETUSER app resetpass >{C['old_redis_password']}") == "+OK"
    redis.ask("CLIENT KILL TYPE normal")  # WRONGPASS for every new connection
    await written.ask_all()
    allow(redis)
    assert redis.ask("CONFIG SET maxmemory 1") == "+OK"
    await written.ask_all()
    assert redis.ask("CONFIG SET maxmemory 0") == "+OK"
    assert redis.ask("FLUSHALL") == "+OK"
    written.note(await fetch(server.port, chat("x", conversation=C["conversation"], headers=KEY)))
    (key,) = [key for key in keys(redis) if ":conversation:" in key]
    assert redis.ask(f"DEL {key}") == ":1"
    assert redis.ask(f"SET {key} {C['kept']}") == "+OK"  # WRONGTYPE
    await written.ask_all()
    redis.kill()
    await written.ask_all()
    return await written.all()


def keys(redis: RedisServer) -> list[str]:
    found = redis.ask("EVAL \"return table.concat(redis.call('KEYS', '*'), ' ')\" 0")
    return found.split()


async def odd_redis_in_trouble(server: ServerProcess) -> str:
    written = Written(server)
    await written.ask_all()
    assert "unknown command" in server.log(), "it did complain"
    return await written.all()


async def sqlite_in_trouble(server: ServerProcess, database: Path) -> str:
    written = Written(server)
    for data in asks()[:3]:
        written.note(await fetch(server.port, data))
    with locked(database):
        for data in (asks()[0], asks()[12]):
            written.note(await fetch(server.port, data))
    await asyncio.to_thread(spoil, database)
    written.note(await fetch(server.port, asks()[0]))
    written.note(await fetch(server.port, asks()[8]))
    await asyncio.to_thread(database.write_bytes, C["kept"].encode() * 1000)
    for data in asks():
        written.note(await fetch(server.port, data))
    assert written.unavailable > 3
    return await written.all()


def spoil(database: Path) -> None:
    """The stored turns are no longer valid."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("UPDATE turns SET document = ?", (C["kept"].encode(),))
    connection.close()


def where(text: str, canary: str) -> str:
    """What stands around the first place where it is."""
    before, found, after = text.partition(canary)
    return f"{before[-200:]}{found}{after[:200]}" if found else ""


@pytest.mark.row("canaries")
async def test_no_secret_is_written_when_stores_fail(
    serve: Serve, tally: Tally, tmp_path: Path, guarded_redis: RedisServer, odd_redis: RedisServer
) -> None:
    async with scripted() as upstream:
        upstream.script = teller
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
        on_odd = serve(REDIS_URL=odd_redis.url, RATE_LIMIT_RPS="100000", RATE_LIMIT_BURST="100000", **environment)
        on_sqlite = serve(HISTORY_URL=f"sqlite:///{database}", **environment)
        texts = await asyncio.gather(
            redis_in_trouble(on_redis, guarded_redis),
            odd_redis_in_trouble(on_odd),
            sqlite_in_trouble(on_sqlite, database),
        )
    assert all(text.count('"logger":"access"') > 10 for text in texts), "there are logs to find something in"
    found = [name for name, canary in CANARIES.items() if any(canary in text for text in texts)]
    assert found == [], [where(text, C[name]) for name in found for text in texts]
    warnings = sum(text.count('"level":"warning"') for text in texts)
    tally.passed(f"{len(found)} of {len(CANARIES)} found, {warnings} warnings logged", count=len(CANARIES))
