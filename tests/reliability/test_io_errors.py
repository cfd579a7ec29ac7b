"""The disk under SQLite fails with EIO: nothing is acknowledged, streams go on to their end, it recovers. (D1)"""

from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.client import fetch, request
from tests.end_to_end.conftest import Serve
from tests.reliability.programs import failing_disk
from tests.reliability.rows import Tally
from tests.reliability.talks import ENDLESS_HISTORY, Talk, check, counted, kept, moment, under_load
from tests.reliability.test_sqlite_trouble import TALKS, recovers, until

OPERATIONS = ("write", "sync", "write sync", "read write sync")


@pytest.mark.row("eio")
async def test_nothing_is_acknowledged_while_the_disk_fails_and_it_recovers(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    faults = tmp_path / "faults"
    server = serve(
        program=Path(failing_disk.__file__),
        HISTORY_URL=f"sqlite:///{tmp_path}/chat.db",
        DISK_FAULTS=str(faults),
        LOG_LEVEL="warning",
        **ENDLESS_HISTORY,
    )
    talks = [Talk(f"eio-{number}", tokens=3 + number) for number in range(TALKS)]
    async with under_load(server.port, talks):
        await until(server, talks, end="done", more=TALKS)
        for number in tally.rounds():
            faults.write_text(OPERATIONS[number % len(OPERATIONS)], encoding="ascii")
            await until(server, talks, end="store_unavailable", more=2 * TALKS)
            assert (await fetch(server.port, request("/readyz"))).status == 503
            assert (await fetch(server.port, request("/health"))).status == 200
            faults.unlink()
            await until(server, talks, end="done", more=TALKS)
            await moment(random, 0.0, 0.05)
    await recovers(server.port, talks)
    for talk in talks:
        check(await kept(server.port, talk.name), [talk])
        for exchange in talk.told:
            assert exchange.end in {"done", "store_unavailable", "cut"}  # cut: by the end of the load
            assert exchange.end != "store_unavailable" or exchange.text in {"", talk.whole(exchange.question)}
    refused = counted(talks, "store_unavailable")
    tally.passed(f"{counted(talks)} turns acknowledged, all stored; {refused} refused with `store_unavailable`")
