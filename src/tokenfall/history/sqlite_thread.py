"""Runs SQLite in threads, so that disk I/O does not block the event loop. Must not depend on what is stored.

A thread takes all queued jobs, runs them in one transaction with a savepoint per job, commits, and only then completes
the callers' futures (group commit): one fsync serves them all, and nothing is acknowledged before it is on the disk.
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

MAX_BATCH_JOBS = 256
"""Maximum number of jobs in one transaction."""

MAX_READS = 4
"""The same for jobs that only read: the results of all of them are in memory until the last one has ended."""

MAX_WAITING = 10_000
"""Maximum number of queued jobs; further ones are refused, so that a hanging disk does not fill the memory."""

MAX_WAITING_BYTES = 67_108_864
"""Maximum size of the data that queued jobs write; further jobs that write are refused."""

CALL_S = 5.0
"""Timeout of a call on a hanging disk; the write may still succeed afterwards."""

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]
Outcome = tuple["asyncio.Future[Any]", Any, Exception | None]

_log = logs.get(__name__)


class _Job(Generic[Result]):
    __slots__ = ("future", "size_bytes", "work")

    def __init__(self, work: Work[Result], future: "asyncio.Future[Result]", *, size_bytes: int) -> None:
        self.work = work
        self.future = future
        self.size_bytes = size_bytes


class SQLiteThread:
    """One thread with its own connection; jobs run in FIFO order.

    The connection is opened for the first job. It is reopened for the next job after a database error, and if the file
    at `path` has been replaced or deleted, because writes to a deleted file are lost. `begin` starts each transaction;
    `final_statement` is executed before the connection is closed at the end. Must be closed: the thread is not a
    daemon, so the process would not exit.
    """

    def __init__(
        self,
        name: str,
        path: str,
        *,
        connect: Callable[[str], sqlite3.Connection],
        begin: str,
        final_statement: str = "",
        reads: bool = False,
    ) -> None:
        """`reads`: its jobs only read; one whose caller was cancelled or has timed out before it runs is skipped."""
        self._path = path
        self._connect = connect
        self._begin = begin
        self._final_statement = final_statement
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None
        self._closed = False
        self._waiting_bytes = 0
        self._reads = reads
        self._max_batch = MAX_READS if reads else MAX_BATCH_JOBS
        # The following attributes are used by the thread only.
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._last_batch = False

    async def run(self, work: Work[Result], *, within_s: float = CALL_S, size_bytes: int = 0) -> Result:
        """Run `work` inside a transaction and return its result once the transaction is committed.

        Cancellation and timeout of the caller do not cancel a job that runs: its result is discarded. A queued job
        still runs, unless it only reads. `size_bytes` is the size of what it writes.
        """
        if self._closed or self._is_full(size_bytes):
            raise unavailable()
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._start(loop)
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put(_Job(work, future, size_bytes=size_bytes))
        self._waiting_bytes += size_bytes
        try:
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            raise unavailable() from None

    def _is_full(self, size_bytes: int) -> bool:
        """Whether the queue has no room for a job that writes this size. One such job is queued whatever its size."""
        waiting_bytes = self._waiting_bytes
        return self._jobs.qsize() >= MAX_WAITING or (
            waiting_bytes > 0 and waiting_bytes + size_bytes > MAX_WAITING_BYTES
        )

    async def close(self) -> None:
        """Finish queued jobs, close the connection and end the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        if self._ended is not None and self._thread is not None:
            # Shielded: a cancelled caller of close() must not cancel the future for other callers.
            await asyncio.shield(self._ended)
            self._thread.join()  # returns at once: setting the future is the thread's last statement

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        ended = loop.create_future()
        thread = threading.Thread(target=self._run, args=(loop, ended), name=self._name)
        try:
            thread.start()
        except RuntimeError as error:  # the system cannot create more threads
            _log.warning("SQLite failed: %s", error)
            raise unavailable() from None
        self._thread, self._ended = thread, ended

    def _run(self, loop: asyncio.AbstractEventLoop, ended: "asyncio.Future[None]") -> None:
        while batch := self._next_batch():
            size_bytes = sum(job.size_bytes for job in batch)
            loop.call_soon_threadsafe(self._settle, self._outcomes(batch), size_bytes)
        self._disconnect(self._final_statement)
        loop.call_soon_threadsafe(ended.set_result, None)

    def _settle(self, outcomes: Sequence[Outcome], size_bytes: int) -> None:
        """Called in the event loop after a batch of this size."""
        self._waiting_bytes -= size_bytes
        for future, result, error in outcomes:
            if future.done():  # the caller was cancelled
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _next_batch(self) -> list[_Job[Any]]:
        """The queued jobs, waiting for at least one; empty once `close` was called and all jobs are done."""
        batch: list[_Job[Any]] = []
        while not self._last_batch and len(batch) < self._max_batch:
            try:
                job = self._jobs.get(block=not batch)
            except Empty:
                break
            if job is None:
                self._last_batch = True
            elif not (self._reads and job.future.cancelled()):
                batch.append(job)
        return batch

    def _outcomes(self, batch: Sequence[_Job[Any]]) -> Sequence[Outcome]:
        try:
            connection = self._open_connection()
            connection.execute(self._begin)
            outcomes = [_outcome(connection, job) for job in batch]
            connection.execute("COMMIT")
            return outcomes
        except Exception as error:  # noqa: BLE001 - any error must reach the callers, and the thread must continue
            # The whole batch is rolled back: closing the connection discards an uncommitted transaction.
            _log.warning("SQLite failed: %s: %s", type(error).__name__, error)
            self._disconnect()
            raised = unavailable() if isinstance(error, sqlite3.Error | OSError) else error
            return [(job.future, None, raised) for job in batch]

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is not None and self._file != _file_at(self._path):
            _log.warning("the SQLite file was replaced; opening the new one")
            self._disconnect()
        if self._connection is None:
            self._connection = self._connect(self._path)
            self._file = _file_at(self._path)
        return self._connection

    def _disconnect(self, final_statement: str = "") -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            try:
                if final_statement:
                    connection.execute(final_statement).fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            _log.warning("SQLite failed on closing: %s", error)


def unavailable() -> StoreUnavailable:
    """The error for callers, independent of the cause."""
    return StoreUnavailable("the conversations cannot be read or written now", retry_after_s=1.0)


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _outcome(connection: sqlite3.Connection, job: _Job[Any]) -> Outcome:
    """Run one job inside the transaction; an error of the job itself is rolled back to its savepoint."""
    connection.execute("SAVEPOINT job")
    try:
        result = job.work(connection)
    except sqlite3.Error:
        raise  # full, corrupt or locked: the other jobs would also fail, or have been rolled back already
    except Exception as error:  # noqa: BLE001 - an error of the job, passed to its caller
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return job.future, None, error
    connection.execute("RELEASE job")
    return job.future, result, None
