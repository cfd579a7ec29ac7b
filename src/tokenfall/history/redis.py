"""History in Redis (6 or later), shared by several machines.

Layout. `{owner}` is URL-quoted and in braces (a hash tag), so that a cluster stores all keys of an owner in one slot;
`{@anonymous}` is the owner of conversations if no API keys are configured.

- `tokenfall:{owner}:conversation:<id>`, a hash: `turn:<turn id>` is the JSON document of a turn, `at:<position>` the
  turn id at a position, from `first` up to but not including `past`; `title`, `last_activity` (Unix seconds) and, if
  it is pinned, `pinned`. Because it is a single key, expiry and eviction always remove a complete conversation.
- `tokenfall:{owner}:conversations`, a sorted set: conversation ids by the microsecond of their last turn.
- `tokenfall:check`, written by health checks.

Expiry. A conversation expires `expire_s` after its last turn, the set after the owner's last turn. Reads and renames do
not extend it.

Durability. A turn is one atomic write (a script), acknowledged once Redis has executed it; from then on it depends on
Redis' settings. Without persistence all turns are lost at a restart; with `appendonly yes` and `appendfsync everysec`
up to about a second of turns, with `appendfsync always` none. Replication is asynchronous: a failover loses the writes
that had not reached the new primary. A `maxmemory-policy` other than `noeviction` evicts conversations.

Writes are idempotent: the script checks the turn id. After `StoreUnavailable` a write may still have been executed, or
may be executed later. Imported only if configured.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from tokenfall import logs
from tokenfall.conversations import DEFAULT_PAGE_SIZE, Conversation, ConversationInfo, Turn
from tokenfall.errors import page_start_not_found
from tokenfall.history.search import BATCH_BYTES, CONVERSATION_BYTES, texts_of
from tokenfall.history.titles import title_of
from tokenfall.redis.calls import CALL_S, Calls, connect, no_count, tag, unavailable
from tokenfall.redis.lua import lua_script
from tokenfall.slicing.computation import Sliced
from tokenfall.slicing.scheduler import run_sliced

if TYPE_CHECKING:
    from redis.commands.core import AsyncScript

CHECK_S = 1.0
"""Timeout of a health check."""

MAX_READS = 8
"""Maximum number of concurrent reads of documents, whose replies are in memory until they are decoded."""

DESCRIBED = 100
"""Conversations that one script call describes: redis-py decodes a reply without yielding to the event loop."""

CHECK_KEY = "tokenfall:check"

_log = logs.get(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Turn).decode


class RedisHistory:
    """Stores at most `limit` messages per conversation, for `expire_s` after its last turn.

    Connects to the Redis at `url` at first use. Raises `ValueError` for an invalid URL.
    """

    def __init__(self, url: str, *, limit: int, expire_s: float, failed: Callable[[], None] = no_count) -> None:
        client = connect(url)
        self._max_turns = max(1, limit // 2)
        self._expire_ms = max(1, round(expire_s * 1000))
        self._client = client
        self._calls = Calls(client, failed=failed)
        self._reads = asyncio.Semaphore(MAX_READS)
        # A script is called by its hash (EVALSHA), and sent again if Redis does not know it after a restart (NOSCRIPT).
        self._append = client.register_script(lua_script(__file__, "append"))
        self._turns = client.register_script(lua_script(__file__, "turns"))
        self._clear = client.register_script(lua_script(__file__, "clear"))
        self._rename = client.register_script(lua_script(__file__, "rename"))
        self._size = client.register_script(lua_script(__file__, "size"))
        self._read = client.register_script(lua_script(__file__, "read"))
        self._pin = client.register_script(lua_script(__file__, "pin"))
        self._describe = client.register_script(lua_script(__file__, "describe"))

    async def append(self, conversation: Conversation, turn: Turn) -> None:
        arguments: list[str | bytes | int] = [
            conversation.id,
            turn.id,
            _encode(turn),
            title_of(turn),
            repr(turn.answered_at),
            self._max_turns,
            self._expire_ms,
            turn.replaces or "",
        ]
        await self._calls.run(self._append([_key(conversation), _index(conversation.owner)], arguments))

    async def turns(
        self, conversation: Conversation, last: int | None = None, *, until: str = "", max_bytes: int | None = None
    ) -> Sequence[Turn] | None:
        newest = -1 if last is None else max(0, last)
        arguments: list[str | int] = [newest, until, -1 if max_bytes is None else max_bytes]
        documents = await self._read_documents(self._turns, keys=[_key(conversation)], arguments=arguments)
        return None if documents is None else await run_sliced(_decoded_in_slices(documents))

    async def size_bytes(self, conversation: Conversation) -> int:
        found: int = await self._calls.run(self._size([_key(conversation)]))
        return found

    async def clear(self, conversation: Conversation) -> bool:
        keys = [_key(conversation), _index(conversation.owner)]
        return bool(await self._calls.run(self._clear(keys, [conversation.id])))

    async def conversations(
        self, owner: str, *, limit: int = DEFAULT_PAGE_SIZE, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        first = 0
        if after is not None:
            ranked: Any = self._client.zrevrank(_index(owner), after)
            place = await self._calls.run(ranked)
            if place is None:
                raise page_start_not_found()
            first = place + 1
        found = await self._calls.run(self._described(owner, first=first, limit=limit))
        with _decoding_errors():
            return [_conversation_info(name, described) for name, described in found if described]

    async def texts(self, owner: str, ids: Sequence[str]) -> Sequence[Iterable[str] | None]:
        keys = [_key(Conversation(owner, each)) for each in ids]
        found = await self._read_documents(self._read, keys=keys, arguments=[BATCH_BYTES, CONVERSATION_BYTES])
        return [None if each is None else texts_of(_decoded(each)) for each in found]

    async def rename(self, conversation: Conversation, title: str) -> bool:
        return bool(await self._calls.run(self._rename([_key(conversation)], [title])))

    async def pin(self, conversation: Conversation, pinned: bool) -> bool:
        return bool(await self._calls.run(self._pin([_key(conversation)], ["1" if pinned else ""])))

    async def check(self) -> None:
        # SET instead of PING: it fails on a replica, a full Redis, and one that cannot persist.
        await self._calls.run(self._write_check_key(), within_s=CHECK_S)

    async def close(self) -> None:
        await self._calls.close()

    async def _read_documents(
        self, script: "AsyncScript", *, keys: Sequence[str], arguments: Sequence[str | int]
    ) -> Any:  # noqa: ANN401 - any reply
        """Run a script that returns documents, at most `MAX_READS` at a time.

        A started read occupies its place until it ends, even if its caller has left. A read whose caller leaves earlier
        is never started: otherwise they would accumulate while Redis hangs.
        """
        began_s = monotonic()
        try:
            async with asyncio.timeout(CALL_S):
                await self._reads.acquire()
        except TimeoutError:
            raise self._calls.timed_out(CALL_S) from None
        reading = asyncio.ensure_future(script(keys, arguments))
        reading.add_done_callback(lambda _: self._reads.release())
        return await self._calls.run(reading, within_s=CALL_S - (monotonic() - began_s))

    async def _write_check_key(self) -> None:
        await self._client.set(CHECK_KEY, b"", px=10_000)

    async def _described(self, owner: str, *, first: int, limit: int) -> list[tuple[bytes, list[Any]]]:
        # Two steps, because a script may only access keys that it is given. A conversation that is created in between
        # is missing from this result; one that has expired in between is omitted.
        names: list[Any] = await self._client.zrevrange(_index(owner), first, first + limit - 1)
        prefix = f"{tag(owner)}:conversation:".encode()
        found: list[tuple[bytes, list[Any]]] = []
        for start in range(0, len(names), DESCRIBED):
            part = names[start : start + DESCRIBED]
            found += zip(part, await self._describe([prefix + name for name in part]), strict=True)
        return found


@contextmanager
def _decoding_errors() -> Iterator[None]:
    """Converts decoding errors (values written by other software under our keys) to `StoreUnavailable`."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError) as error:
        _log.warning("cannot decode a conversation in Redis: %s", type(error).__name__)
        raise unavailable() from None


def _decoded(documents: Iterable[bytes]) -> Iterator[Turn]:
    with _decoding_errors():
        for document in documents:
            yield _decode(document)


def _decoded_in_slices(documents: Iterable[bytes]) -> Sliced[list[Turn]]:
    turns = []
    for turn in _decoded(documents):
        turns.append(turn)
        yield
    return turns


def _conversation_info(name: bytes, described: list[Any]) -> ConversationInfo:
    last_activity, messages, title, pinned = described
    return ConversationInfo(name.decode(), float(last_activity), messages, title.decode(), pinned is not None)


def _key(conversation: Conversation) -> str:
    return f"{tag(conversation.owner)}:conversation:{conversation.id}"


def _index(owner: str) -> str:
    return f"{tag(owner)}:conversations"
