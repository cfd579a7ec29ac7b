"""History in Redis (6 or later), for several machines.

Layout. `{owner}` is quoted as in a URL and stands in braces, so that a cluster keeps all keys of an owner in one
slot; `{@anonymous}` is the owner of conversations for which no key was asked.

- `tokenfall:{owner}:conversation:<id>`, a hash: `turn:<turn id>` is the JSON document of a turn, `at:<place>` the turn
  id at a place, from `first` up to but not including `past`; `title` and `last_activity` (Unix seconds). One key, so
  that a conversation is never half there, however it goes.
- `tokenfall:{owner}:conversations`, a sorted set: conversation ids by the microsecond of their last turn.
- `tokenfall:check`, written by probes.

Expiry. A conversation is gone `expire_s` after its last turn, the set after the owner's last turn. Reading and naming
prolong nothing.

What can be lost. A turn is one atomic write (a script), and acknowledged once Redis has run it; how safe it is then is
for Redis' own settings to say. Without persistence all is gone when it restarts; with `appendonly yes` and
`appendfsync everysec` up to about a second of turns, with `appendfsync always` none. Replication is asynchronous: a
failover loses what the new primary had not yet seen. A `maxmemory-policy` other than `noeviction` drops conversations.

Every write may be repeated: a turn's id is looked for in the same step. A write whose caller was told
`StoreUnavailable` may still have happened, or happen yet. Imported only where it is used.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from redis.asyncio import Redis

from tokenfall import logs
from tokenfall.conversations import LISTED, Conversation, ConversationInfo, Turn
from tokenfall.errors import page_start_not_found
from tokenfall.history.titles import title_of
from tokenfall.lua_scripts import lua_script
from tokenfall.redis_calls import Calls, connect, tag, unavailable, uncounted

CHECK_S = 1.0
"""How long a probe may take."""

CHECK_KEY = "tokenfall:check"

_log = logs.get(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Turn).decode


class RedisHistory:
    """Keeps at most `limit` messages a conversation, for `expire_s` after its last turn. Owns `client`."""

    def __init__(self, client: Redis, *, limit: int, expire_s: float, failed: Callable[[], None] = uncounted) -> None:
        self._max_turns = max(1, limit // 2)
        self._expire_ms = max(1, round(expire_s * 1000))
        self._client = client
        self._calls = Calls(client, failed=failed)
        # A script is sent by its hash, and whole once more after a restart has made Redis forget it (NOSCRIPT).
        self._append = client.register_script(lua_script(__file__, "append"))
        self._turns = client.register_script(lua_script(__file__, "turns"))
        self._clear = client.register_script(lua_script(__file__, "clear"))
        self._rename = client.register_script(lua_script(__file__, "rename"))
        self._describe = client.register_script(lua_script(__file__, "describe"))

    @classmethod
    def connect(
        cls, url: str, *, limit: int, expire_s: float, failed: Callable[[], None] = uncounted
    ) -> "RedisHistory":
        """On the Redis at `url`, connected at the first use. Raises `ValueError` for a URL that is none."""
        return cls(connect(url), limit=limit, expire_s=expire_s, failed=failed)

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
        await self._calls.done(self._append([_key(conversation), _index(conversation.owner)], arguments))

    async def turns(self, conversation: Conversation, last: int | None = None) -> Sequence[Turn] | None:
        newest = -1 if last is None else max(0, last)
        documents = await self._calls.done(self._turns([_key(conversation)], [newest]))
        if documents is None:
            return None
        with _readable():
            return [_decode(document) for document in documents]

    async def clear(self, conversation: Conversation) -> bool:
        keys = [_key(conversation), _index(conversation.owner)]
        return bool(await self._calls.done(self._clear(keys, [conversation.id])))

    async def conversations(
        self, owner: str, *, limit: int = LISTED, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        first = 0
        if after is not None:
            ranked: Any = self._client.zrevrank(_index(owner), after)
            place = await self._calls.done(ranked)
            if place is None:
                raise page_start_not_found()
            first = place + 1
        found = await self._calls.done(self._described(owner, first=first, limit=limit))
        with _readable():
            return [
                ConversationInfo(name.decode(), float(described[0]), described[1], described[2].decode())
                for name, described in found
                if described
            ]

    async def rename(self, conversation: Conversation, title: str) -> bool:
        return bool(await self._calls.done(self._rename([_key(conversation)], [title])))

    async def check(self) -> None:
        # SET and not PING: a replica, a full Redis and one that cannot save refuse it.
        await self._calls.done(self._write_something(), within_s=CHECK_S)

    async def close(self) -> None:
        await self._calls.close()

    async def _write_something(self) -> None:
        await self._client.set(CHECK_KEY, b"", px=10_000)

    async def _described(self, owner: str, *, first: int, limit: int) -> list[tuple[bytes, list[Any]]]:
        # Two steps, because a script may only touch keys that it is given. What is begun in between is missing once;
        # what has expired in between is left out.
        names: list[Any] = await self._client.zrevrange(_index(owner), first, first + limit - 1)
        if not names:
            return []
        prefix = f"{tag(owner)}:conversation:".encode()
        return list(zip(names, await self._describe([prefix + name for name in names]), strict=True))


@contextmanager
def _readable() -> Iterator[None]:
    """What somebody else wrote under our keys makes the store unavailable, and nothing crash."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError) as error:
        _log.warning("what is kept in Redis cannot be read: %s", type(error).__name__)
        raise unavailable() from None


def _key(conversation: Conversation) -> str:
    return f"{tag(conversation.owner)}:conversation:{conversation.id}"


def _index(owner: str) -> str:
    return f"{tag(owner)}:conversations"
