import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tokenfall.conversations import Conversation
from tokenfall.errors import StoreUnavailable
from tokenfall.history.redis import MAX_READS, RedisHistory
from tokenfall.history.search import search

from tests.contracts.history import ALICE, BOB, LIMIT, DocumentsContract, HistoryContract, turn
from tests.stores.redis_server import RedisServer

EXPIRE_S = 100.0
KEY = "tokenfall:{alice}:conversation:default"
INDEX = "tokenfall:{alice}:conversations"


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[RedisHistory]:
    history = RedisHistory(redis.url, limit=LIMIT, expire_s=EXPIRE_S)
    yield history
    redis.reset()
    await history.close()


@pytest.fixture
async def raw(redis: RedisServer) -> AsyncIterator[Any]:
    """A Redis client for direct access to the stored keys."""
    client = Redis.from_url(redis.url)
    yield client
    await client.aclose()


class TestRedisHistory(DocumentsContract, HistoryContract):
    @pytest.fixture
    def history(self, store: RedisHistory) -> RedisHistory:
        return store


async def run_ready_callbacks() -> None:
    """Run all ready callbacks, without waiting for I/O."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_all_keys_expire(store: RedisHistory, raw: Any) -> None:
    await store.append(ALICE, turn(1))
    await store.append(Conversation("", "x"), turn(1))
    await store.check()
    keys = await raw.keys("*")

    assert len(keys) == 5
    for key in keys:
        assert 0 < await raw.pttl(key) <= EXPIRE_S * 1000


async def test_turn_extends_the_expiry_and_a_title_does_not(store: RedisHistory, raw: Any) -> None:
    await store.append(ALICE, turn(1))
    await raw.pexpire(KEY, 10_000)
    await raw.pexpire(INDEX, 10_000)
    await store.rename(ALICE, "named")
    assert await raw.pttl(KEY) <= 10_000

    await store.append(ALICE, turn(2))
    assert await raw.pttl(KEY) > 90_000
    assert await raw.pttl(INDEX) > 90_000


async def test_expired_conversations_are_not_listed(store: RedisHistory, raw: Any) -> None:
    await store.append(ALICE, turn(1))
    await store.append(Conversation("alice", "other"), turn(2))
    await raw.delete(KEY)

    assert [each.id for each in await store.conversations("alice")] == ["other"]


async def test_next_turn_of_an_owner_removes_ids_of_expired_conversations(store: RedisHistory, raw: Any) -> None:
    await store.append(ALICE, turn(1))
    long_ago_us = int((time.time() - EXPIRE_S - 1) * 1e6)
    await raw.zadd(INDEX, {"default": long_ago_us})
    await store.append(Conversation("alice", "other"), turn(2))

    assert await raw.zrange(INDEX, 0, -1) == [b"other"]


async def test_dropped_turns_leave_no_keys(store: RedisHistory, raw: Any) -> None:
    for number in range(50):
        await store.append(ALICE, turn(number))

    assert await raw.hlen(KEY) == 4 + 2 * LIMIT // 2


@pytest.mark.parametrize("owner", ["{alice}", "}{", "anonymous", "@anonymous", "%40anonymous", ""])
async def test_keys_of_an_owner_share_a_slot_of_their_own(store: RedisHistory, raw: Any, owner: str) -> None:
    conversation = Conversation(owner, "}x{")
    await store.append(conversation, turn(1))
    keys = await raw.keys("*")

    assert len({key.partition(b"}")[0] for key in keys}) == 1
    assert all(key.count(b"{", 0, key.index(b"}")) == 1 for key in keys)
    for other in ("{alice}", "}{", "anonymous", "@anonymous", "%40anonymous", ""):
        assert bool(await store.conversations(other)) is (other == owner)


async def test_script_is_loaded_again_after_a_script_flush(store: RedisHistory, raw: Any) -> None:
    await store.append(ALICE, turn(1))
    await raw.script_flush()
    await store.append(ALICE, turn(2))
    await raw.script_flush()

    assert await store.turns(ALICE) == [turn(1), turn(2)]


@pytest.mark.parametrize("document", [b"", b"{", b"\xff", b'{"id": 1}'])
async def test_invalid_stored_document_raises_store_unavailable(store: RedisHistory, raw: Any, document: bytes) -> None:
    await store.append(ALICE, turn(1))
    await store.append(BOB, turn(2))
    await raw.hset(KEY, "turn:turn_1", document)

    with pytest.raises(StoreUnavailable):
        await store.turns(ALICE)
    with pytest.raises(StoreUnavailable):
        await search(store, "alice", words=["answer"], limit=60)
    assert await store.turns(BOB) == [turn(2)]


async def test_missing_stored_field_raises_store_unavailable(store: RedisHistory, raw: Any) -> None:
    await store.append(ALICE, turn(1))
    await raw.hdel(KEY, "turn:turn_1", "title")

    with pytest.raises(StoreUnavailable):
        await store.turns(ALICE)
    with pytest.raises(StoreUnavailable):
        await store.conversations("alice")


async def test_key_of_another_redis_type_raises_store_unavailable(store: RedisHistory, raw: Any) -> None:
    await raw.set(KEY, "mine")

    with pytest.raises(StoreUnavailable):
        await store.append(ALICE, turn(1))
    with pytest.raises(StoreUnavailable):
        await store.turns(ALICE)


async def test_stopped_redis_is_unavailable_soon_and_recovers_once_it_is_back(
    store: RedisHistory, redis: RedisServer
) -> None:
    await store.append(ALICE, turn(1))
    redis.stop()
    began_s = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await store.append(ALICE, turn(2))
    with pytest.raises(StoreUnavailable):
        await store.check()
    assert time.monotonic() - began_s < 3
    assert refused.value.retry_after_s == 1.0
    assert str(redis.port) not in refused.value.message

    redis.restart()
    await store.append(ALICE, turn(3))
    assert await store.turns(ALICE) == [turn(3)]


async def test_calls_succeed_after_a_restart_broke_connections(store: RedisHistory, redis: RedisServer) -> None:
    await asyncio.gather(*(store.turns(ALICE) for _ in range(32)))
    # The restart blocks the loop, so broken connections are only noticed at the next use.
    redis.restart()

    await asyncio.gather(*(store.append(Conversation("alice", str(number)), turn(number)) for number in range(32)))
    assert len(await store.conversations("alice")) == 32


async def test_unresponsive_redis_times_out(store: RedisHistory, redis: RedisServer) -> None:
    await store.check()
    redis.pause()
    began_s = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.check()
    checked_s = time.monotonic() - began_s
    responses = await asyncio.gather(*(store.turns(ALICE) for _ in range(100)), return_exceptions=True)
    assert all(isinstance(response, StoreUnavailable) for response in responses)
    assert checked_s < 1.5
    assert time.monotonic() - began_s - checked_s < 3

    redis.resume()
    await store.append(ALICE, turn(1))
    assert await store.turns(ALICE) == [turn(1)]


async def test_reads_whose_callers_have_left_are_not_sent_later(
    store: RedisHistory, redis: RedisServer, raw: Any
) -> None:
    await store.append(ALICE, turn(1))
    await store.turns(ALICE)  # loads the script
    redis.pause()
    reads = [asyncio.create_task(store.turns(ALICE)) for _ in range(200)]
    await run_ready_callbacks()
    for left in reads:
        left.cancel()
    redis.resume()
    await asyncio.gather(*reads, return_exceptions=True)
    await raw.config_resetstat()
    assert await store.turns(ALICE) == [turn(1)]

    assert (await raw.info("commandstats"))["cmdstat_evalsha"]["calls"] <= MAX_READS + 1


async def test_cancelled_write_in_progress_completes(store: RedisHistory, redis: RedisServer) -> None:
    await store.append(ALICE, turn(1))
    redis.pause()
    writing = asyncio.create_task(store.append(ALICE, turn(2)))
    await run_ready_callbacks()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    redis.resume()
    await store.close()

    again = RedisHistory(redis.url, limit=LIMIT, expire_s=EXPIRE_S)
    assert await again.turns(ALICE) == [turn(1), turn(2)]
    await again.close()


async def test_cancelled_calls_never_leak_their_reply_to_another_caller(
    store: RedisHistory, redis: RedisServer, raw: Any
) -> None:
    names = [Conversation("alice", str(number)) for number in range(20)]
    for number, conversation in enumerate(names):
        await store.append(conversation, turn(number))
    redis.pause()  # no connection returns before the pool is full
    filling = [asyncio.create_task(store.turns(conversation)) for conversation in names * 4]
    await run_ready_callbacks()
    redis.resume()
    await asyncio.gather(*filling)
    connections = (await raw.info("stats"))["total_connections_received"]

    for _ in range(4):
        redis.pause()
        reads = [asyncio.create_task(store.turns(conversation)) for conversation in names * 5]
        await run_ready_callbacks()
        for left in reads[::2]:
            left.cancel()
        redis.resume()
        responses = await asyncio.gather(*reads, return_exceptions=True)
        assert all(isinstance(response, asyncio.CancelledError) for response in responses[::2])
        for place in range(1, len(reads), 2):
            assert responses[place] == [turn(place % 20)]

    # No connection was dropped with an unread reply: no new one was opened.
    assert (await raw.info("stats"))["total_connections_received"] == connections


async def test_close_waits_for_calls_in_progress(store: RedisHistory, redis: RedisServer, raw: Any) -> None:
    await store.append(ALICE, turn(1))
    redis.pause()
    writing = asyncio.create_task(store.append(ALICE, turn(2)))
    await run_ready_callbacks()
    closing = asyncio.create_task(store.close())
    await run_ready_callbacks()
    assert not closing.done()
    redis.resume()
    await closing

    await writing
    assert await raw.hget(KEY, "past") == b"2"


async def test_acknowledged_turn_survives_a_crash_with_appendfsync_always(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, append_only=True)
    try:
        history = RedisHistory(server.url, limit=LIMIT, expire_s=EXPIRE_S)
        await history.append(ALICE, turn(1))
        await history.append(ALICE, turn(2))
        server.kill()
        server.restart()

        assert await history.turns(ALICE) == [turn(1), turn(2)]
        await history.close()
    finally:
        server.stop()


async def test_full_redis_is_unhealthy(store: RedisHistory, raw: Any) -> None:
    await store.append(ALICE, turn(1))
    await raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await store.check()
        with pytest.raises(StoreUnavailable):
            await store.append(ALICE, turn(2))
        assert await store.turns(ALICE) == [turn(1)]
    finally:
        await raw.config_set("maxmemory", 0)
    await store.check()


@pytest.mark.parametrize("url", ["redis://:hunter2/@127.0.0.1:1", "http://:hunter2@x", "redis://:hunter2@x:hunter2"])
def test_invalid_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^invalid Redis URL") as refused:
        RedisHistory(url, limit=LIMIT, expire_s=EXPIRE_S)

    assert refused.value.__suppress_context__


async def test_password_is_not_in_logs_or_errors(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    history = RedisHistory(redis.url.replace("//", "//:hunter2@"), limit=LIMIT, expire_s=EXPIRE_S)
    with pytest.raises(StoreUnavailable) as refused:
        await history.append(ALICE, turn(1))
    await history.close()

    assert "hunter2" not in caplog.text + repr(refused.value) + refused.value.message
    assert "Redis failed" in caplog.text


async def test_conversations_are_not_in_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = RedisServer(tmp_path, options=("--rename-command", "EVALSHA", ""))
    try:
        history = RedisHistory(server.url, limit=LIMIT, expire_s=EXPIRE_S)
        with pytest.raises(StoreUnavailable):
            await history.append(ALICE, turn(1, text="s3cret"))
        await history.close()
    finally:
        server.stop()

    assert "unknown command" in caplog.text
    assert "s3cret" not in caplog.text
    assert "alice" not in caplog.text


async def test_unused_store_closes(redis: RedisServer) -> None:
    await RedisHistory(redis.url, limit=LIMIT, expire_s=EXPIRE_S).close()


async def test_page_of_many_conversations_is_as_fast_as_of_few(store: RedisHistory, raw: Any) -> None:
    await raw.zadd(INDEX, {f"c{number}": number for number in range(100_000)})
    page = [f"c{number}" for number in range(49_999, 49_899, -1)]
    pipeline = raw.pipeline()
    for name in page:
        fields = {"first": 0, "past": 1, "last_activity": "1.5", "title": "x"}
        pipeline.hset(f"tokenfall:{{alice}}:conversation:{name}", mapping=fields)
    await pipeline.execute()
    took: list[float] = []
    for _ in range(5):
        began_s = time.process_time()
        assert [each.id for each in await store.conversations("alice", limit=100, after="c50000")] == page
        took.append(time.process_time() - began_s)

    assert min(took) < 0.01
