import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tokenfall.errors import StoreUnavailable
from tokenfall.history.sqlite_thread import MAX_BATCH_JOBS, MAX_WAITING, MAX_WAITING_BYTES, SQLiteThread


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[SQLiteThread]:
    new_thread = SQLiteThread("sqlite", str(tmp_path / "numbers.db"), connect=connect, begin="BEGIN IMMEDIATE")
    yield new_thread
    await new_thread.close()


def connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER)")
    return connection


def insert(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("INSERT INTO numbers VALUES (?)", (number,))


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY number")]


async def test_error_of_one_job_does_not_affect_other_jobs_of_its_transaction(thread: SQLiteThread) -> None:
    def half(connection: sqlite3.Connection) -> None:
        insert(connection, 9)
        raise LookupError

    outcomes = await asyncio.gather(
        thread.run(lambda connection: insert(connection, 1)),
        thread.run(half),
        thread.run(lambda connection: insert(connection, 2)),
        return_exceptions=True,
    )

    assert [type(each) for each in outcomes] == [type(None), LookupError, type(None)]
    assert await thread.run(numbers) == [1, 2]


@pytest.mark.slow
async def test_hanging_disk_times_out_and_further_jobs_are_refused(thread: SQLiteThread) -> None:
    hanging = threading.Event()
    ran: list[int] = []
    try:
        hanging_job = asyncio.create_task(thread.run(lambda _: hanging.wait(), within_s=1))
        jobs = range(MAX_WAITING + 300)
        waiting = [asyncio.create_task(thread.run(lambda _, job=job: ran.append(job), within_s=1)) for job in jobs]  # type: ignore[misc] # bound as default
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable):
            await thread.run(numbers)
        outcomes = await asyncio.gather(hanging_job, *waiting, return_exceptions=True)  # while the disk still hangs
        assert all(isinstance(each, StoreUnavailable) for each in outcomes)
    finally:
        hanging.set()

    await thread.close()
    assert len(ran) <= MAX_WAITING + MAX_BATCH_JOBS


async def test_jobs_are_refused_while_those_that_wait_write_too_much(thread: SQLiteThread) -> None:
    started, hanging = threading.Event(), threading.Event()

    def hang(_: sqlite3.Connection) -> None:
        started.set()
        hanging.wait()

    try:
        jobs = [asyncio.create_task(thread.run(hang))]
        await asyncio.to_thread(started.wait)
        jobs.append(asyncio.create_task(thread.run(lambda _: None, size_bytes=2 * MAX_WAITING_BYTES)))
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable):
            await thread.run(numbers, size_bytes=1)
    finally:
        hanging.set()
    await asyncio.gather(*jobs)

    assert await thread.run(numbers, size_bytes=MAX_WAITING_BYTES) == []
