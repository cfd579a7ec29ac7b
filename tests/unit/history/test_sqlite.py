import asyncio
import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tokenfall.conversations import Conversation, ConversationInfo
from tokenfall.errors import StoreUnavailable
from tokenfall.history import sqlite_database
from tokenfall.history.search import search
from tokenfall.history.sqlite import SQLiteHistory
from tokenfall.history.sqlite_database import SCHEMA
from tokenfall.history.sqlite_thread import MAX_BATCH_JOBS

from tests.contracts.history import ALICE, BOB, LIMIT, DocumentsContract, HistoryContract, turn

MANY = 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteHistory]:
    history = SQLiteHistory(str(path), limit=LIMIT)
    yield history
    await history.close()


class TestSQLiteHistory(DocumentsContract, HistoryContract):
    @pytest.fixture
    def history(self, store: SQLiteHistory) -> SQLiteHistory:
        return store


def query_value(path: Path, query: str) -> Any:
    """The first value of a query on a second connection, as another process would read it."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchone()[0]


def contents(path: Path) -> bytes:
    return path.read_bytes()


def files_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def replace(path: Path, content: bytes) -> None:
    """Replace the file by a new one, as an editor or `mv` does."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


@contextmanager
def locked(path: Path, begin: str = "BEGIN EXCLUSIVE") -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(begin)
        yield


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("history-")]


async def test_acknowledged_turn_is_committed(store: SQLiteHistory, path: Path) -> None:
    for number in range(1, 4):
        await store.append(ALICE, turn(number))
        assert query_value(path, "SELECT count(*) FROM turns") == number


def each_connection(monkeypatch: pytest.MonkeyPatch, prepare: Callable[[sqlite3.Connection], object]) -> None:
    """Call `prepare` with each connection that a store made from now on opens."""
    original = sqlite_database.connect

    def connect(path: str) -> sqlite3.Connection:
        connection = original(path)
        prepare(connection)
        return connection

    monkeypatch.setattr(sqlite_database, "connect", connect)


async def test_concurrent_appends_share_few_transactions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    each_connection(monkeypatch, lambda connection: connection.set_trace_callback(statements.append))
    history = SQLiteHistory(str(path), limit=LIMIT)
    await history.append(ALICE, turn(0))
    statements.clear()
    await asyncio.gather(*(history.append(Conversation("", str(n)), turn(n)) for n in range(3 * MAX_BATCH_JOBS)))
    await history.close()

    assert query_value(path, "SELECT count(*) FROM turns") == 1 + 3 * MAX_BATCH_JOBS
    assert 3 <= statements.count("BEGIN IMMEDIATE") <= 6


async def test_file_is_durable_and_readable_only_for_its_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pragmas: list[tuple[str, int]] = []

    def read_pragmas(connection: sqlite3.Connection) -> None:
        mode, synchronous = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        )
        pragmas.append((mode, synchronous))

    each_connection(monkeypatch, read_pragmas)
    mask = os.umask(0)
    try:
        history = SQLiteHistory(str(path), limit=LIMIT)
        await history.append(ALICE, turn(1))
        files = [path, path.with_name("history.db-wal"), path.with_name("history.db-shm")]
        assert [stat.S_IMODE(each.stat().st_mode) for each in files] == [0o600] * 3
        await history.close()
    finally:
        os.umask(mask)

    full = 2
    assert pragmas == [("wal", full)]
    assert files_in(path.parent) == ["history.db"]


async def test_turns_are_readable_after_reopening_the_file(path: Path) -> None:
    first = SQLiteHistory(str(path), limit=LIMIT)
    await first.append(ALICE, turn(1))
    await first.rename(ALICE, "named")
    await first.close()
    second = SQLiteHistory(str(path), limit=LIMIT)

    assert await second.turns(ALICE) == [turn(1)]
    assert [each.title for each in await second.conversations("alice")] == ["named"]
    await second.close()


async def test_two_stores_on_one_file_store_every_turn_once_in_one_order(path: Path) -> None:
    stores = [SQLiteHistory(str(path), limit=1_000) for _ in range(2)]

    async def append_turns(store: SQLiteHistory, first: int) -> None:
        for number in range(first, first + 50):
            await store.append(ALICE, turn(number))

    # Both append each turn, as after a lost response.
    await asyncio.gather(*(append_turns(store, first) for store in stores for first in (0, 50)))
    stored = [await store.turns(ALICE) or () for store in stores]
    for store in stores:
        await store.close()

    assert stored[0] == stored[1]
    numbers = [int(each.id.removeprefix("turn_")) for each in stored[0]]
    assert sorted(numbers) == list(range(100))
    assert [n for n in numbers if n < 50] == list(range(50))
    assert [n for n in numbers if n >= 50] == list(range(50, 100))


async def test_locked_file_is_unavailable_within_the_timeout_and_works_once_released(
    store: SQLiteHistory, path: Path
) -> None:
    with locked(path), pytest.raises(StoreUnavailable):
        await store.append(ALICE, turn(0))
    await store.append(ALICE, turn(1))
    with locked(path):
        with pytest.raises(StoreUnavailable) as refused:
            await store.append(ALICE, turn(2))
        with pytest.raises(StoreUnavailable):
            await store.check()
        # WAL: readers do not wait for writers.
        assert await store.turns(ALICE) == [turn(1)]

    assert refused.value.retry_after_s == 1.0
    assert str(path) not in refused.value.message
    await store.append(ALICE, turn(3))
    assert await store.turns(ALICE) == [turn(1), turn(3)]


async def test_append_waits_for_a_lock_that_is_released_in_time(store: SQLiteHistory, path: Path) -> None:
    await store.append(ALICE, turn(1))
    with locked(path):
        write = asyncio.create_task(store.append(ALICE, turn(2)))
        assert await store.turns(ALICE) == [turn(1)]
        assert not write.done()
    await write

    assert await store.turns(ALICE) == [turn(1), turn(2)]


async def test_check_writes_a_page_and_changes_no_conversation(store: SQLiteHistory, path: Path) -> None:
    await store.append(ALICE, turn(1))
    before = len(contents(path.with_name("history.db-wal")))
    await store.check()

    assert len(contents(path.with_name("history.db-wal"))) > before
    assert await store.turns(ALICE) == [turn(1)]
    assert [each.messages for each in await store.conversations("alice")] == [2]


async def test_full_disk_acknowledges_no_turn_and_recovers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    limits = ["PRAGMA max_page_count = 20"] * 2  # of the first writer and reader
    each_connection(monkeypatch, lambda connection: limits and connection.execute(limits.pop()).fetchone())
    history = SQLiteHistory(str(path), limit=LIMIT)
    await history.append(ALICE, turn(1))
    large = turn(2, text="x" * 100_000)
    assert await history.turns(BOB) is None
    refused = await asyncio.gather(
        history.append(ALICE, large), history.append(BOB, turn(3)), history.append(ALICE, large), return_exceptions=True
    )
    assert all(isinstance(each, StoreUnavailable) for each in refused)
    assert await history.turns(ALICE) == [turn(1)]
    assert await history.turns(BOB) is None

    # The limit was set on the connection, which has been replaced.
    await history.append(ALICE, large)
    assert await history.turns(ALICE) == [turn(1), large]
    await history.close()


async def test_invalid_file_is_unavailable(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    replace(path, b"this is no database at all" * 1_000)
    history = SQLiteHistory(str(path), limit=LIMIT)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await history.append(ALICE, turn(1, text="s3cret"))
        with pytest.raises(StoreUnavailable):
            await history.turns(ALICE)
        with pytest.raises(StoreUnavailable):
            await history.check()
    assert "SQLite failed" in caplog.text
    assert "s3cret" not in caplog.text

    os.remove(path)
    await history.append(ALICE, turn(1))
    assert await history.turns(ALICE) == [turn(1)]
    await history.close()


async def test_replaced_or_deleted_file_is_reopened(path: Path) -> None:
    first = SQLiteHistory(str(path), limit=LIMIT)
    await first.append(ALICE, turn(1))
    await first.close()
    history = SQLiteHistory(str(path), limit=LIMIT)
    assert await history.turns(ALICE) == [turn(1)]
    replace(path, b"garbage" * 5_000)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await history.turns(ALICE)
        with pytest.raises(StoreUnavailable):
            await history.append(ALICE, turn(2))

    os.remove(path)
    await history.append(ALICE, turn(3))
    os.remove(path)
    await history.append(ALICE, turn(4))
    assert await history.turns(ALICE) == [turn(4)]
    await history.close()


async def test_invalid_document_is_unavailable(store: SQLiteHistory, path: Path) -> None:
    await store.append(ALICE, turn(1))
    await store.append(BOB, turn(2))
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE turns SET document = x'7bff' WHERE id = 'turn_1'")
        other.commit()
    read = await asyncio.gather(store.turns(ALICE), store.turns(BOB), return_exceptions=True)

    assert isinstance(read[0], StoreUnavailable)
    assert read[1] == [turn(2)]
    with pytest.raises(StoreUnavailable):
        await search(store, "alice", words=["answer"], limit=60)


class LateHistory(SQLiteHistory):
    """Its listing still has a conversation deleted in the meantime."""

    async def conversations(
        self, owner: str, *, limit: int = 0, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        return [ConversationInfo("default", 1.0, 2, "question")]


async def test_conversation_deleted_during_a_search_is_not_found(path: Path) -> None:
    history = LateHistory(str(path), limit=LIMIT)
    await history.append(BOB, turn(1))

    assert await search(history, "alice", words=["question"], limit=60) == []
    assert len(await search(history, "bob", words=["question"], limit=60)) == 1
    await history.close()


async def test_file_of_the_first_schema_is_upgraded(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        first, _, _ = SCHEMA.partition("CREATE TABLE IF NOT EXISTS pins")
        other.executescript(f"{first} PRAGMA user_version = 1; COMMIT;")
        other.execute("INSERT INTO conversations VALUES (1, 'alice', 'default', 'named', 1.5, 1)")
        other.commit()
    history = SQLiteHistory(str(path), limit=LIMIT)

    assert [(each.title, each.pinned) for each in await history.conversations("alice")] == [("named", False)]
    assert await history.pin(ALICE, True)
    assert [(each.title, each.pinned) for each in await history.conversations("alice")] == [("named", True)]
    await history.close()


async def test_later_schema_is_refused_and_unchanged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    before = contents(path)
    history = SQLiteHistory(str(path), limit=LIMIT)
    with pytest.raises(StoreUnavailable, match="newer version of Tokenfall"):
        await history.append(ALICE, turn(1))
    with pytest.raises(StoreUnavailable, match="newer version of Tokenfall"):
        await history.check()
    await history.close()

    assert contents(path) == before


async def test_folder_created_later_is_used(tmp_path: Path) -> None:
    history = SQLiteHistory(str(tmp_path / "later" / "history.db"), limit=LIMIT)
    with pytest.raises(StoreUnavailable):
        await history.turns(ALICE)
    (tmp_path / "later").mkdir()
    await history.append(ALICE, turn(1))

    assert await history.turns(ALICE) == [turn(1)]
    await history.close()


async def test_cancelled_write_is_still_committed(store: SQLiteHistory, path: Path) -> None:
    await store.append(ALICE, turn(1))
    with locked(path):
        writes = [asyncio.create_task(store.append(ALICE, turn(number))) for number in (2, 3)]
        await asyncio.sleep(0)
        writes[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await writes[0]
    await writes[1]

    assert await store.turns(ALICE) == [turn(1), turn(2), turn(3)]


async def test_close_finishes_queued_jobs_and_ends_the_threads(path: Path) -> None:
    history = SQLiteHistory(str(path), limit=1_000)
    await history.check()
    assert len(threads()) == 2
    writes = [asyncio.create_task(history.append(ALICE, turn(number))) for number in range(400)]
    await asyncio.sleep(0)
    await history.close()
    await history.close()

    assert threads() == []
    assert all(each.done() for each in writes)
    assert query_value(path, "SELECT count(*) FROM turns") == 400
    with pytest.raises(StoreUnavailable):
        await history.append(ALICE, turn(1))


async def test_unused_store_closes_and_creates_no_file(path: Path) -> None:
    await SQLiteHistory(str(path), limit=LIMIT).close()

    assert not files_in(path.parent)
    assert threads() == []


async def test_failure_is_logged_without_message_text(
    store: SQLiteHistory, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await store.append(ALICE, turn(1, text="s3cret"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE turns")
    with pytest.raises(StoreUnavailable):
        await store.append(ALICE, turn(2, text="s3cret"))

    assert "SQLite failed" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.slow
async def test_page_takes_equally_long_with_many_conversations(store: SQLiteHistory, path: Path) -> None:
    await store.append(ALICE, turn(1))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO conversations (owner, id, title, last_activity, touched) VALUES ('alice', ?, 'x', 1.0, ?)",
            ((f"c{number}", number + 2) for number in range(MANY)),
        )
    took_s: list[float] = []
    page: Sequence[ConversationInfo] = ()
    for _ in range(5):
        began_s = time.process_time()
        page = await store.conversations("alice", limit=100, after=f"c{MANY // 2}")
        took_s.append(time.process_time() - began_s)

    assert [page[0].id, page[-1].id] == [f"c{MANY // 2 - 1}", f"c{MANY // 2 - 100}"]
    assert min(took_s) < 0.01
