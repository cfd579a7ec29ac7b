"""SQLite locked, and without space: streams run to their end, nothing is acknowledged falsely. (D1)"""

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
from tests.reliability import holder
from tests.reliability.rows import Tally
from tests.reliability.talks import ENDLESS_HISTORY, Talk, check, counted, kept, moment, under_load

TALKS = 6
TRIES = 100
"""Until a turn is acknowledged again; a refusal takes its time."""

WAL_BYTES = 128 * 1024
"""Larger than the log will be, which the limit of a file's size holds for too."""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process is in the middle of a write."""
    with subprocess.Popen(
        [sys.executable, holder.__file__, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            other.stdin.close()
            assert other.wait(PATIENCE_S) == 0


async def one_turn(port: int, talk: Talk) -> None:
    async with await Client.connect(port) as client:
        await talk.ask(client)


async def ready(port: int) -> int:
    return (await fetch(port, request("/readyz"))).status


async def recovers(port: int, talks: list[Talk]) -> None:
    """New turns are acknowledged in every conversation."""
    for talk in talks:
        async with asyncio.timeout(PATIENCE_S), await Client.connect(port) as client:
            for _ in range(TRIES):
                if (await talk.ask(client)).end == "done":
                    break
            else:
                raise AssertionError(talk.told[-1])
    assert await ready(port) == 200


@pytest.mark.row("locked")
async def test_long_database_lock_gives_store_unavailable_and_loses_no_acknowledged_turn(
    serve: Serve, tally: Tally, tmp_path: Path
) -> None:
    database = tmp_path / "chat.db"
    server = serve(HISTORY_URL=f"sqlite:///{database}", **ENDLESS_HISTORY)
    talks = [Talk(f"locked-{number}", tokens=3 + number) for number in range(TALKS)]
    for _ in tally.rounds():
        await recovers(server.port, talks)
        with locked(database):
            probe, *_ = await asyncio.gather(ready(server.port), *(one_turn(server.port, talk) for talk in talks))
        assert probe == 503
        for talk in talks:
            last = talk.told[-1]
            assert (last.end, last.text) == ("store_unavailable", talk.whole(last.question)), "to its end"
    await recovers(server.port, talks)
    for talk in talks:
        check(await kept(server.port, talk.name), [talk])
    refused = counted(talks, "store_unavailable")
    tally.passed(
        f"{counted(talks)} turns acknowledged, all stored; {refused} streamed completely and ended with "
        "`store_unavailable`"
    )


def room(server: ServerProcess, bytes_: int) -> None:
    """From now on no file of the process may grow beyond."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (bytes_, hard))


async def until(server: ServerProcess, talks: list[Talk], *, end: str, more: int) -> None:
    target = counted(talks, end) + more
    await eventually(lambda: counted(talks, end) >= target, lambda: counted(talks, end))
    assert server.process.poll() is None, "it lives"


@pytest.mark.row("full")
async def test_full_disk_acknowledges_nothing_and_recovers_with_room(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    database, wal = tmp_path / "chat.db", tmp_path / "chat.db-wal"
    server = serve(HISTORY_URL=f"sqlite:///{database}", LOG_LEVEL="warning", **ENDLESS_HISTORY)
    talks = [Talk(f"full-{number}", tokens=3 + number) for number in range(TALKS)]
    async with under_load(server.port, talks):
        await until(server, talks, end="done", more=1)
        await eventually(lambda: wal.stat().st_size >= WAL_BYTES, lambda: wal.stat().st_size)
        for _ in tally.rounds():
            await moment(random, 0.0, 0.1)
            # Somewhere within a page that is about to be written, so that half a page may be.
            room(server, max(each.stat().st_size for each in (database, wal)) - random.randrange(0, 9_000))
            await until(server, talks, end="store_unavailable", more=TALKS)
            room(server, resource.RLIM_INFINITY)
            await until(server, talks, end="done", more=TALKS)
    await recovers(server.port, talks)
    for talk in talks:
        check(await kept(server.port, talk.name), [talk])
    refused = counted(talks, "store_unavailable")
    tally.passed(
        f"{counted(talks)} turns acknowledged, all stored; {refused} streamed completely and ended with "
        "`store_unavailable`"
    )


async def test_readyz_fails_without_room_on_the_disk(serve: Serve, tmp_path: Path) -> None:
    server = serve(HISTORY_URL=f"sqlite:///{tmp_path}/chat.db")
    talk = Talk("no-room")
    for _ in range(10):
        await one_turn(server.port, talk)
    room(server, (tmp_path / "chat.db-wal").stat().st_size)
    await one_turn(server.port, talk)
    assert talk.told[-1].end == "store_unavailable"
    assert await ready(server.port) == 503, "as docs/operations.md has it"
