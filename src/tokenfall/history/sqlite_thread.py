"""SQLite in threads, so that no disk ever holds up the event loop. Knows connections and jobs, no conversations.

A thread takes everything that waits, runs it in one transaction with a savepoint for each job, commits, and only then
tells the callers: one fsync serves them all (group commit), and nothing is acknowledged that is not on the disk.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from tokenfall import logs
from tokenfall.errors import StoreUnavailable

BATCH_JOBS = 256
"""At most so many jobs in one transaction."""

MAX_WAITING = 10_000
"""Whoever comes when so many wait is refused at once: a disk that hangs must not fill the memory."""

CALL_S = 5.0
"""When a caller gives up on a disk that hangs; his write may still succeed, as after any lost answer."""

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]
Outcome = tuple["asyncio.Future[Any]", Any, Exception | None]

_log = logs.get(__name__)


class _Job(Generic[Result]):
    __slots__ = ("future", "work")

    def __init__(self, work: Work[Result], future: "asyncio.Future[Result]") -> None:
        self.work = work
        self.future = future


class SQLiteThread:
    """One thread with a connection of its own; jobs run in the order in which they were given.

    Nothing is opened before the first job. After an error of the database the connection is closed, and opened anew
    for the next job; so too when the file at `path` is no longer the one that was opened, because what is written to
    a deleted file is gone. `begin` opens each transaction, `last_words` are executed before the connection is closed
    for good. It must be closed: the thread is no daemon, the process would not end.
    """

    def __init__(
        self, name: str, path: str, *, connect: Callable[[str], sqlite3.Connection], begin: str, last_words: str = ""
    ) -> None:
        self._path = path
        self._connect = connect
        self._begin = begin
        self._last_words = last_words
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None
        self._closed = False
        # What follows belongs to the thread.
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._last_batch = False

    async def do(self, work: Work[Result], *, within_s: float = CALL_S) -> Result:
        """Run `work` inside a transaction and return what it returned, once that is committed.

        Cancelling the caller cancels nothing: his future is forgotten, the job does not know. So does giving up.
        """
        if self._closed or self._jobs.qsize() >= MAX_WAITING:
            raise unavailable()
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._start(loop)
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put(_Job(work, future))
        try:
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            raise unavailable() from None

    async def close(self) -> None:
        """Finish what waits, close the connection and end the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        if self._ended is not None and self._thread is not None:
            # Shielded, for a caller of close() that is cancelled must not cancel the thread's word to the next.
            await asyncio.shield(self._ended)
            self._thread.join()  # it said so with its last statement

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        ended = loop.create_future()
        thread = threading.Thread(target=self._run, args=(loop, ended), name=self._name)
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads
            _log.warning("SQLite failed: %s", error)
            raise unavailable() from None
        self._thread, self._ended = thread, ended

    def _run(self, loop: asyncio.AbstractEventLoop, ended: "asyncio.Future[None]") -> None:
        while batch := self._next_batch():
            loop.call_soon_threadsafe(_settle, self._outcomes(batch))
        self._let_go(self._last_words)
        loop.call_soon_threadsafe(ended.set_result, None)

    def _next_batch(self) -> list[_Job[Any]]:
        """What waits, at least one; empty once everything before the closing is done."""
        batch: list[_Job[Any]] = []
        while not self._last_batch and len(batch) < BATCH_JOBS:
            try:
                job = self._jobs.get(block=not batch)
            except Empty:
                break
            if job is None:
                self._last_batch = True
            else:
                batch.append(job)
        return batch

    def _outcomes(self, batch: Sequence[_Job[Any]]) -> Sequence[Outcome]:
        try:
            connection = self._opened()
            connection.execute(self._begin)
            outcomes = [_outcome(connection, job) for job in batch]
            connection.execute("COMMIT")
            return outcomes
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it and the thread go on
            # None of the batch is kept: what is not committed when its connection closes never was.
            _log.warning("SQLite failed: %s: %s", type(error).__name__, error)
            self._let_go()
            told = unavailable() if isinstance(error, sqlite3.Error | OSError) else error
            return [(job.future, None, told) for job in batch]

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._file != _file_at(self._path):
            _log.warning("the SQLite file was replaced; opening the new one")
            self._let_go()
        if self._connection is None:
            self._connection = self._connect(self._path)
            self._file = _file_at(self._path)
        return self._connection

    def _let_go(self, last_words: str = "") -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            try:
                if last_words:
                    connection.execute(last_words).fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            _log.warning("SQLite failed on closing: %s", error)


def unavailable() -> StoreUnavailable:
    """What callers are told, whatever went wrong."""
    return StoreUnavailable("the conversations cannot be read or written now", retry_after_s=1.0)


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _outcome(connection: sqlite3.Connection, job: _Job[Any]) -> Outcome:
    """Do one job inside the transaction; what fails for its own reasons leaves the others alone."""
    connection.execute("SAVEPOINT job")
    try:
        result = job.work(connection)
    except sqlite3.Error:
        raise  # full, broken, locked: the others would fail for the same reason, or are undone already
    except Exception as error:  # noqa: BLE001 - it is the job's own, and handed to whoever gave it
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return job.future, None, error
    connection.execute("RELEASE job")
    return job.future, result, None


def _settle(outcomes: Sequence[Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # its caller was cancelled
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
