"""The schema and the statements of the SQLite history. All functions run in the threads of `SQLiteThread`."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tokenfall import logs
from tokenfall.conversations import Conversation, ConversationInfo, Turn
from tokenfall.errors import StoreUnavailable, page_start_not_found
from tokenfall.history.newest import within_bytes
from tokenfall.history.search import BATCH_BYTES, CONVERSATION_BYTES
from tokenfall.history.sqlite_thread import unavailable
from tokenfall.history.titles import title_of

BUSY_TIMEOUT_S = 2.0
"""How long a writer waits for a transaction of another process."""

MAX_INTEGER = 2**63 - 1
"""The largest integer of SQLite."""

SCHEMA_VERSION = 2
"""Value of `PRAGMA user_version`; 0 is an empty file."""

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
CREATE TABLE IF NOT EXISTS pins (conversation INTEGER PRIMARY KEY REFERENCES conversations (key));
PRAGMA user_version = 2;
COMMIT;
"""

_opening = threading.Lock()
"""Held while the file is created and opened. Closing any descriptor of a file drops all POSIX locks of this process on
it (sqlite.org/howtocorrupt.html, 2.2), so no other thread may open the database in between."""

_log = logs.get(__name__)

_decode = msgspec.json.Decoder(Turn).decode


def connect(path: str) -> sqlite3.Connection:
    """A connection to the database at `path`, which is created if missing. Raises `sqlite3.Error`, `OSError`, and
    `StoreUnavailable` if the file has a later schema version.
    """
    with _opening:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        # Transactions are explicit: Python's implicit ones would be DEFERRED.
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
    _enable_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    if version < SCHEMA_VERSION:
        connection.executescript(SCHEMA)


def _enable_wal(connection: sqlite3.Connection) -> None:
    """Retries, because the change to WAL mode ignores the busy timeout and fails if two processes start at once."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def write_probe(connection: sqlite3.Connection, size_bytes: int) -> None:
    """Write as much as a turn: a full disk may have room for a single page. The data is random, because SQLite does not
    write unchanged pages, and always in the same row, so that the file does not grow.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS probes (key INTEGER PRIMARY KEY, filler BLOB NOT NULL)")
    connection.execute("INSERT OR REPLACE INTO probes (key, filler) VALUES (1, randomblob(?))", (size_bytes,))


def read_probe(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT key FROM conversations LIMIT 1").fetchall()


def _key(connection: sqlite3.Connection, conversation: Conversation) -> int | None:
    found: tuple[int] | None = connection.execute(
        "SELECT key FROM conversations WHERE owner = ? AND id = ?", (conversation.owner, conversation.id)
    ).fetchone()
    return found[0] if found else None


def append(
    connection: sqlite3.Connection, conversation: Conversation, *, turn: Turn, document: bytes, max_turns: int
) -> None:
    """Store `turn` as its JSON `document`."""
    connection.execute(
        "INSERT OR IGNORE INTO conversations (owner, id, title, last_activity, touched) VALUES (?, ?, ?, 0, 0)",
        (conversation.owner, conversation.id, title_of(turn)),
    )
    key = _key(connection, conversation)
    inserted = connection.execute(
        "INSERT OR IGNORE INTO turns (conversation, id, document) VALUES (?, ?, ?)",
        (key, turn.id, document),
    )
    if inserted.rowcount == 0:
        return
    connection.execute(
        "DELETE FROM turns WHERE conversation = :key AND id <> :id"
        " AND sequence >= (SELECT sequence FROM turns WHERE conversation = :key AND id = :replaces)",
        {"key": key, "id": turn.id, "replaces": turn.replaces},
    )
    connection.execute(
        "UPDATE conversations SET last_activity = ?,"
        " touched = (SELECT max(touched) + 1 FROM conversations WHERE owner = ?) WHERE key = ?",
        (turn.answered_at, conversation.owner, key),
    )
    connection.execute(
        "DELETE FROM turns WHERE conversation = :key AND sequence <="
        " (SELECT sequence FROM turns WHERE conversation = :key ORDER BY sequence DESC LIMIT 1 OFFSET :most)",
        {"key": key, "most": max_turns},
    )


def turns(
    connection: sqlite3.Connection, conversation: Conversation, *, last: int, until: str, max_bytes: int | None
) -> list[Turn] | None:
    key = _key(connection, conversation)
    if key is None:
        return None
    documents = connection.execute(
        "SELECT document FROM turns WHERE conversation = :key AND sequence <= CASE WHEN :until = '' THEN :most"
        " ELSE (SELECT sequence FROM turns WHERE conversation = :key AND id = :until) END"
        " ORDER BY sequence DESC LIMIT :last",
        {"key": key, "until": until, "last": last, "most": MAX_INTEGER},
    )
    found = list(decoded(within_bytes((document for (document,) in documents), max_bytes, size=len)))
    found.reverse()
    return found


def size_bytes(connection: sqlite3.Connection, conversation: Conversation) -> int:
    """Size of the documents of a conversation. SQLite reads the sizes only."""
    found: tuple[int] = connection.execute(
        "SELECT coalesce(sum(length(document)), 0) FROM turns WHERE conversation = ?", (_key(connection, conversation),)
    ).fetchone()
    return found[0]


def documents(connection: sqlite3.Connection, owner: str, *, ids: Sequence[str]) -> list[list[bytes] | None]:
    """The documents of the first conversations of `ids`, None for those that do not exist.

    Ends after the conversation that exceeds `BATCH_BYTES`, so that a search does not delay other readers for long. Of
    a conversation at most `CONVERSATION_BYTES` are read.
    """
    found: list[list[bytes] | None] = []
    size = 0
    for conversation_id in ids:
        if size > BATCH_BYTES:
            break
        # keys are reused after a deletion, so none is remembered
        key = _key(connection, Conversation(owner, conversation_id))
        rows = connection.execute("SELECT document FROM turns WHERE conversation = ? ORDER BY sequence", (key,))
        documents = list(within_bytes((document for (document,) in rows), CONVERSATION_BYTES, size=len))
        size += sum(map(len, documents))
        found.append(None if key is None else documents)
    return found


def decoded(documents: Iterable[bytes]) -> Iterator[Turn]:
    try:
        for document in documents:
            yield _decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        _log.warning("a turn in SQLite cannot be read: %s", type(error).__name__)
        raise unavailable() from None


def clear(connection: sqlite3.Connection, conversation: Conversation) -> bool:
    key = _key(connection, conversation)
    connection.execute("DELETE FROM turns WHERE conversation = ?", (key,))
    connection.execute("DELETE FROM pins WHERE conversation = ?", (key,))
    return connection.execute("DELETE FROM conversations WHERE key = ?", (key,)).rowcount > 0


def conversations(
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
        "SELECT id, last_activity, 2 * (SELECT count(*) FROM turns WHERE conversation = key), title,"
        " key IN (SELECT conversation FROM pins)"
        " FROM conversations WHERE owner = ? AND touched < ? ORDER BY touched DESC LIMIT ?",
        (owner, before, limit),
    )
    return [
        ConversationInfo(name, last_activity, messages, title, bool(pinned))
        for name, last_activity, messages, title, pinned in listed
    ]


def rename(connection: sqlite3.Connection, conversation: Conversation, *, title: str) -> bool:
    renamed = connection.execute(
        "UPDATE conversations SET title = ? WHERE owner = ? AND id = ?", (title, conversation.owner, conversation.id)
    )
    return renamed.rowcount > 0


def pin(connection: sqlite3.Connection, conversation: Conversation, *, pinned: bool) -> bool:
    key = _key(connection, conversation)
    if key is None:
        return False
    change = "INSERT OR IGNORE INTO pins VALUES (?)" if pinned else "DELETE FROM pins WHERE conversation = ?"
    connection.execute(change, (key,))
    return True
