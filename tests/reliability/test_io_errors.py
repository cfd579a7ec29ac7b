"""SQLite's disk operations fail with EIO: no turn is acknowledged, streams continue, the server recovers. (D1)"""

from pathlib import Path
from random import Random

import pytest

from tests.end_to_end.client import fetch, request
from tests.end_to_end.conftest import Serve
from tests.reliability.programs import failing_disk
from tests.reliability.rows import Tally
from tests.reliability.test_sqlite_trouble import USERS, wait_for_outcomes, wait_for_recovery
from tests.reliability.virtual_users import (
    UNLIMITED_HISTORY,
    VirtualUser,
    check_history,
    count_turns,
    random_delay,
    stored_messages,
    under_load,
)

OPERATIONS = ("write", "sync", "write sync", "read write sync")


@pytest.mark.row("eio")
async def test_no_turn_is_acknowledged_during_io_errors_and_the_server_recovers(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    faults = tmp_path / "faults"
    server = serve(
        program=Path(failing_disk.__file__),
        HISTORY_URL=f"sqlite:///{tmp_path}/chat.db",
        DISK_FAULTS=str(faults),
        LOG_LEVEL="warning",
        **UNLIMITED_HISTORY,
    )
    users = [VirtualUser(f"eio-{number}", tokens=3 + number) for number in range(USERS)]
    async with under_load(server.port, users):
        await wait_for_outcomes(server, users, outcome="done", more=USERS)
        for number in tally.rounds():
            faults.write_text(OPERATIONS[number % len(OPERATIONS)], encoding="ascii")
            await wait_for_outcomes(server, users, outcome="store_unavailable", more=2 * USERS)
            assert (await fetch(server.port, request("/readyz"))).status == 503
            assert (await fetch(server.port, request("/health"))).status == 200
            faults.unlink()
            await wait_for_outcomes(server, users, outcome="done", more=USERS)
            await random_delay(random, 0.0, 0.05)
    await wait_for_recovery(server.port, users)
    for user in users:
        check_history(await stored_messages(server.port, user.name), [user])
        for record in user.records:
            assert record.outcome in {"done", "store_unavailable", "truncated"}  # the latter at the end of the load
            assert record.outcome != "store_unavailable" or record.text in {"", user.expected_text(record.question)}
    refused = count_turns(users, "store_unavailable")
    tally.passed(f"{count_turns(users)} turns acknowledged, all stored; {refused} refused with `store_unavailable`")
