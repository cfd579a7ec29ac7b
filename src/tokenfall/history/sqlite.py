"""History in a SQLite file, for one machine; several processes may share the file.

What can be lost: nothing that was acknowledged. The file is in WAL mode with `synchronous=FULL`, so that a turn is on
the disk (fsync) before `append` returns, and survives kill -9 and a loss of power alike, as far as the disk itself
tells the truth. What that costs is shared: all writes that wait are one transaction (`sqlite_thread`).

Reads have a thread and a connection of their own and never wait for a commit. The file is made readable for its owner
only; `-wal` and `-shm` beside it follow. Imported only where it is used.
"""

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tokenfall import logs
from tokenfall.conversations import LISTED, Conversation, ConversationInfo, Turn
from tokenfall.errors import StoreUnavailable, page_start_not_found
from tokenfall.history.sqlite_thread import SQLiteThread, unavailable
from tokenfall.history.titles import title_of

BUSY_TIMEOUT_S = 2.0
"""How long a writer waits for another process's transaction."""

CHECK_S = 1.0
"""How long a probe may take."""

CHECK_BYTES = 16_384
"""What a probe writes; more after a larger turn could not be kept, and then as much as that."""

MAX_INTEGER = 2**63 - 1
"""The largest that SQLite has."""

SCHEMA_VERSION = 1
"""In `PRAGMA user_version`; 0 is an empty file."""

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS conversations (
    key INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    title TEXT NOT NULL,
    last_activity REAL NOT NULL,
    touched INTEGER NOT NULL,
    UNIQUE (owner, id)
);
CREATE INDEX IF NOT EXISTS conversations_by_activity ON conversations (owner, touched);
CREATE TABLE IF NOT EXISTS turns (
    sequence INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (key),
    id TEXT NOT NULL,
    document BLOB NOT NULL,
    UNIQUE (conversation, id)
);
CREATE INDEX IF NOT EXISTS turns_in_order ON turns (conversation, sequence);
PRAGMA user_version = 1;
COMMIT;
"""

_opening = threading.Lock()
"""Closing any descriptor of a file drops all POSIX locks that this process holds on it (sqlite.org/howtocorrupt.html,
2.2): nobody may open the database while another thread has just made its file."""

_log = logs.get(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Turn).decode


class SQLiteHistory:
    """Keeps at most `limit` messages a conversation in the file at `path`, opened at the first use.

    Must be closed: its threads outlive the event loop otherwise.
    """

    def __init__(self, path: str, *, limit: int) -> None:
        self._max_turns = max(1, limit // 2)
        self._writer = SQLiteThread(
            "history-writer",
            path,
            connect=connect,
            begin="BEGIN IMMEDIATE",
            last_words="PRAGMA wal_checkpoint(PASSIVE)",  # waits for nobody
        )
        self._reader = SQLiteThread("history-reader", path, connect=connect, begin="BEGIN")
        self._unkept_bytes = 0
        """The largest turn that could not be kept since one as large could."""

    async def append(self, conversation: Conversation, turn: Turn) -> None:
        kept = _Kept(turn.id, _encode(turn), title_of(turn), turn.answered_at, self._max_turns, turn.replaces)
        size_bytes = len(kept.document)
        try:
            await self._writer.do(lambda connection: _append(connection, conversation, kept=kept))
        except StoreUnavailable:
            self._unkept_bytes = max(self._unkept_bytes, size_bytes)
            raise
        if size_bytes >= self._unkept_bytes:
            self._unkept_bytes = 0

    async def turns(self, conversation: Conversation, last: int | None = None) -> Sequence[Turn] | None:
        newest = self._max_turns if last is None else max(0, min(last, self._max_turns))
        return await self._reader.do(lambda connection: _turns(connection, conversation, newest=newest))

    async def clear(self, conversation: Conversation) -> bool:
        return await self._writer.do(lambda connection: _clear(connection, conversation))

    async def conversations(
        self, owner: str, *, limit: int = LISTED, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        return await self._reader.do(lambda connection: _conversations(connection, owner, limit=limit, after=after))

    async def rename(self, conversation: Conversation, title: str) -> bool:
        return await self._writer.do(lambda connection: _rename(connection, conversation, title=title))

    async def check(self) -> None:
        size_bytes = max(CHECK_BYTES, self._unkept_bytes)
        await asyncio.gather(
            self._writer.do(lambda connection: _write_something(connection, size_bytes), within_s=CHECK_S),
            self._reader.do(_read_something, within_s=CHECK_S),
        )

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()


class _Kept(NamedTuple):
    turn_id: str
    document: bytes
    title: str
    answered_at: float
    max_turns: int
    replaces: str | None


def connect(path: str) -> sqlite3.Connection:
    """A connection to the database at `path`, made when it is not there. Raises `sqlite3.Error`, `OSError` and, when
    the file is of a later schema, `StoreUnavailable`.
    """
    with _opening:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        # Transactions are begun and ended by hand: Python's own would be DEFERRED.
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreUnavailable("the conversations were written by a newer version of Tokenfall")
    _become_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    if version < SCHEMA_VERSION:
        connection.executescript(SCHEMA)


def _become_wal(connection: sqlite3.Connection) -> None:
    """Going over to WAL does not wait for a lock as other statements do: two processes that begin at once meet."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def _write_something(connection: sqlite3.Connection, size_bytes: int) -> None:
    """As much as a turn: a disk that has room for a page may have none for a turn. Random, since SQLite leaves alone a
    page that stays the same, and in one row, whose pages are written again each time.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS probes (key INTEGER PRIMARY KEY, filler BLOB NOT NULL)")
    connection.execute("INSERT OR REPLACE INTO probes (key, filler) VALUES (1, randomblob(?))", (size_bytes,))


def _read_something(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT key FROM conversations LIMIT 1").fetchall()


def _key(connection: sqlite3.Connection, conversation: Conversation) -> int | None:
    found: tuple[int] | None = connection.execute(
        "SELECT key FROM conversations WHERE owner = ? AND id = ?", (conversation.owner, conversation.id)
    ).fetchone()
    return found[0] if found else None


def _append(connection: sqlite3.Connection, conversation: Conversation, *, kept: _Kept) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO conversations (owner, id, title, last_activity, touched) VALUES (?, ?, ?, 0, 0)",
        (conversation.owner, conversation.id, kept.title),
    )
    key = _key(connection, conversation)
    inserted = connection.execute(
        "INSERT OR IGNORE INTO turns (conversation, id, document) VALUES (?, ?, ?)",
        (key, kept.turn_id, kept.document),
    )
    if inserted.rowcount == 0:
        return
    connection.execute(
        "DELETE FROM turns WHERE conversation = ?1 AND id <> ?2"
        " AND sequence >= (SELECT sequence FROM turns WHERE conversation = ?1 AND id = ?3)",
        (key, kept.turn_id, kept.replaces),
    )
    connection.execute(
        "UPDATE conversations SET last_activity = ?,"
        " touched = (SELECT max(touched) + 1 FROM conversations WHERE owner = ?) WHERE key = ?",
        (kept.answered_at, conversation.owner, key),
    )
    connection.execute(
        "DELETE FROM turns WHERE conversation = ?1 AND sequence <="
        " (SELECT sequence FROM turns WHERE conversation = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)",
        (key, kept.max_turns),
    )


def _turns(connection: sqlite3.Connection, conversation: Conversation, *, newest: int) -> list[Turn] | None:
    key = _key(connection, conversation)
    if key is None:
        return None
    documents = connection.execute(
        "SELECT document FROM turns WHERE conversation = ? ORDER BY sequence DESC LIMIT ?", (key, newest)
    ).fetchall()
    try:
        return [_decode(document) for (document,) in reversed(documents)]
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        _log.warning("a turn in SQLite cannot be read: %s", type(error).__name__)
        raise unavailable() from None


def _clear(connection: sqlite3.Connection, conversation: Conversation) -> bool:
    key = _key(connection, conversation)
    connection.execute("DELETE FROM turns WHERE conversation = ?", (key,))
    return connection.execute("DELETE FROM conversations WHERE key = ?", (key,)).rowcount > 0


def _conversations(
    connection: sqlite3.Connection, owner: str, *, limit: int, after: str | None
) -> list[ConversationInfo]:
    before = MAX_INTEGER
    if after is not None:
        found = connection.execute(
            "SELECT touched FROM conversations WHERE owner = ? AND id = ?", (owner, after)
        ).fetchone()
        if found is None:
            raise page_start_not_found()
        before = found[0]
    listed = connection.execute(
        "SELECT id, last_activity, 2 * (SELECT count(*) FROM turns WHERE conversation = key), title"
        " FROM conversations WHERE owner = ? AND touched < ? ORDER BY touched DESC LIMIT ?",
        (owner, before, limit),
    )
    return [ConversationInfo(*row) for row in listed]


def _rename(connection: sqlite3.Connection, conversation: Conversation, *, title: str) -> bool:
    renamed = connection.execute(
        "UPDATE conversations SET title = ? WHERE owner = ? AND id = ?", (title, conversation.owner, conversation.id)
    )
    return renamed.rowcount > 0
