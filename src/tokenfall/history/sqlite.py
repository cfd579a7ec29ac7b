"""History in a SQLite file, for one machine; several processes may share the file.

Durability: no acknowledged turn is lost. The file is in WAL mode with `synchronous=FULL`: a turn is on the disk (fsync)
before `append` returns, and survives SIGKILL and power loss, provided that the disk honours fsync. All pending writes
share one transaction (`sqlite_thread`), and so its cost.

Reads have their own thread and connection, and never wait for a commit. The file is created with mode 0600; SQLite
gives `-wal` and `-shm` the same mode. Imported only if configured.
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from tokenfall.conversations import DEFAULT_PAGE_SIZE, Conversation, ConversationInfo, Turn
from tokenfall.errors import StoreUnavailable
from tokenfall.history import sqlite_database as database
from tokenfall.history.search import texts_of
from tokenfall.history.sqlite_thread import SQLiteThread

CHECK_S = 1.0
"""Timeout of a health check."""

CHECK_BYTES = 16_384
"""Bytes that a health check writes; after the append of a larger turn has failed, the size of that turn."""

_encode = msgspec.json.Encoder().encode


class SQLiteHistory:
    """Stores at most `limit` messages per conversation in the file at `path`, which is opened at first use.

    Must be closed, because its threads do not end with the event loop.
    """

    def __init__(self, path: str, *, limit: int) -> None:
        self._max_turns = max(1, limit // 2)
        self._writer = SQLiteThread(
            "history-writer",
            path,
            connect=database.connect,
            begin="BEGIN IMMEDIATE",
            final_statement="PRAGMA wal_checkpoint(PASSIVE)",  # does not wait for other connections
        )
        self._reader = SQLiteThread("history-reader", path, connect=database.connect, begin="BEGIN", reads=True)
        self._failed_bytes = 0
        """Size of the largest turn that could not be written; 0 again once a turn of that size has been written."""

    async def append(self, conversation: Conversation, turn: Turn) -> None:
        document = _encode(turn)
        size_bytes = len(document)
        append = partial(database.append, turn=turn, document=document, max_turns=self._max_turns)
        try:
            await self._writer.run(lambda connection: append(connection, conversation), size_bytes=size_bytes)
        except StoreUnavailable:
            self._failed_bytes = max(self._failed_bytes, size_bytes)
            raise
        if size_bytes >= self._failed_bytes:
            self._failed_bytes = 0

    async def turns(
        self, conversation: Conversation, last: int | None = None, *, until: str = "", max_bytes: int | None = None
    ) -> Sequence[Turn] | None:
        last = self._max_turns if last is None else max(0, min(last, self._max_turns))
        turns = partial(database.turns, last=last, until=until, max_bytes=max_bytes)
        return await self._reader.run(lambda connection: turns(connection, conversation))

    async def size_bytes(self, conversation: Conversation) -> int:
        return await self._reader.run(lambda connection: database.size_bytes(connection, conversation))

    async def clear(self, conversation: Conversation) -> bool:
        return await self._writer.run(lambda connection: database.clear(connection, conversation))

    async def conversations(
        self, owner: str, *, limit: int = DEFAULT_PAGE_SIZE, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        return await self._reader.run(
            lambda connection: database.conversations(connection, owner, limit=limit, after=after)
        )

    async def texts(self, owner: str, ids: Sequence[str]) -> Sequence[Iterable[str] | None]:
        found = await self._reader.run(lambda connection: database.documents(connection, owner, ids=ids))
        return [None if each is None else texts_of(database.decoded(each)) for each in found]

    async def rename(self, conversation: Conversation, title: str) -> bool:
        return await self._writer.run(lambda connection: database.rename(connection, conversation, title=title))

    async def pin(self, conversation: Conversation, pinned: bool) -> bool:
        return await self._writer.run(lambda connection: database.pin(connection, conversation, pinned=pinned))

    async def check(self) -> None:
        size_bytes = max(CHECK_BYTES, self._failed_bytes)
        await asyncio.gather(
            self._writer.run(lambda connection: database.write_probe(connection, size_bytes), within_s=CHECK_S),
            self._reader.run(database.read_probe, within_s=CHECK_S),
        )

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()
