"""SQLite is locked or its disk is full: streams are completed, and no unstored turn is acknowledged. (D1)"""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.client import PATIENCE_S, Client, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.in_process import eventually
from tests.end_to_end.process import ServerProcess
from tests.reliability import lock_holder
from tests.reliability.rows import Tally
from tests.reliability.virtual_users import (
    UNLIMITED_HISTORY,
    VirtualUser,
    check_history,
    count_turns,
    random_delay,
    stored_messages,
    under_load,
)

USERS = 6
MAX_ATTEMPTS = 100
"""Turns to request until one is acknowledged; each failure takes up to the lock timeout."""

WAL_BYTES = 128 * 1024
"""The size of the WAL before the file size is limited."""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds a write transaction during the block."""
    with subprocess.Popen(
        [sys.executable, lock_holder.__file__, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            other.stdin.close()
            assert other.wait(PATIENCE_S) == 0


async def one_turn(port: int, user: VirtualUser) -> None:
    async with await Client.connect(port) as client:
        await user.request_turn(client)


async def readiness_status(port: int) -> int:
    return (await fetch(port, request("/readyz"))).status


async def wait_for_recovery(port: int, users: list[VirtualUser]) -> None:
    """Request turns until one is acknowledged in every conversation; then /readyz must be 200."""
    for user in users:
        async with asyncio.timeout(PATIENCE_S), await Client.connect(port) as client:
            for _ in range(MAX_ATTEMPTS):
                if (await user.request_turn(client)).outcome == "done":
                    break
            else:
                raise AssertionError(user.records[-1])
    assert await readiness_status(port) == 200


@pytest.mark.row("locked")
async def test_long_database_lock_gives_store_unavailable_and_loses_no_acknowledged_turn(
    serve: Serve, tally: Tally, tmp_path: Path
) -> None:
    database = tmp_path / "chat.db"
    server = serve(HISTORY_URL=f"sqlite:///{database}", **UNLIMITED_HISTORY)
    users = [VirtualUser(f"locked-{number}", tokens=3 + number) for number in range(USERS)]
    for _ in tally.rounds():
        await wait_for_recovery(server.port, users)
        with locked(database):
            turns = [one_turn(server.port, user) for user in users]
            status, *_ = await asyncio.gather(readiness_status(server.port), *turns)
        assert status == 503
        for user in users:
            last = user.records[-1]
            assert last.outcome == "store_unavailable"
            assert last.text == user.expected_text(last.question), "the response is complete"
    await wait_for_recovery(server.port, users)
    for user in users:
        check_history(await stored_messages(server.port, user.name), [user])
    refused = count_turns(users, "store_unavailable")
    tally.passed(
        f"{count_turns(users)} turns acknowledged, all stored; {refused} streamed completely and ended with "
        "`store_unavailable`"
    )


def limit_file_size(server: ServerProcess, bytes_: int) -> None:
    """Set the file size limit of the process."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (bytes_, hard))


async def wait_for_outcomes(server: ServerProcess, users: list[VirtualUser], *, outcome: str, more: int) -> None:
    """Wait for `more` turns with this outcome.

    A limit of the file size may take effect late: after a checkpoint, SQLite writes up to 1,000 pages at the beginning
    of the WAL.
    """
    target = count_turns(users, outcome) + more
    await eventually(lambda: count_turns(users, outcome) >= target, lambda: count_turns(users, outcome), within_s=60.0)
    assert server.process.poll() is None, "the process is running"


@pytest.mark.row("full")
async def test_full_disk_acknowledges_no_turn_and_recovers_with_space(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    database, wal = tmp_path / "chat.db", tmp_path / "chat.db-wal"
    server = serve(HISTORY_URL=f"sqlite:///{database}", LOG_LEVEL="warning", **UNLIMITED_HISTORY)
    users = [VirtualUser(f"full-{number}", tokens=3 + number) for number in range(USERS)]
    async with under_load(server.port, users):
        await wait_for_outcomes(server, users, outcome="done", more=1)
        await eventually(lambda: wal.stat().st_size >= WAL_BYTES, lambda: wal.stat().st_size)
        for _ in tally.rounds():
            await random_delay(random, 0.0, 0.1)
            # At a random offset within the pages written next, so that a page may be written partially.
            limit_file_size(server, max(each.stat().st_size for each in (database, wal)) - random.randrange(0, 9_000))
            await wait_for_outcomes(server, users, outcome="store_unavailable", more=USERS)
            limit_file_size(server, resource.RLIM_INFINITY)
            await wait_for_outcomes(server, users, outcome="done", more=USERS)
    await wait_for_recovery(server.port, users)
    for user in users:
        check_history(await stored_messages(server.port, user.name), [user])
    refused = count_turns(users, "store_unavailable")
    tally.passed(
        f"{count_turns(users)} turns acknowledged, all stored; {refused} streamed completely and ended with "
        "`store_unavailable`"
    )


async def test_readyz_is_503_on_a_full_disk(serve: Serve, tmp_path: Path) -> None:
    server = serve(HISTORY_URL=f"sqlite:///{tmp_path}/chat.db")
    user = VirtualUser("no-space")
    for _ in range(10):
        await one_turn(server.port, user)
    limit_file_size(server, (tmp_path / "chat.db-wal").stat().st_size)
    await one_turn(server.port, user)
    assert user.records[-1].outcome == "store_unavailable"
    assert await readiness_status(server.port) == 503, "as docs/operations.md says"
