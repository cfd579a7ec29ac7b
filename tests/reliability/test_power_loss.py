"""Power loss at any write of SQLite: every acknowledged turn is stored once, in order, in a readable database. (D2)

The content of the disk is computed from a log of all writes and syncs of a real server (`disk_log.py`), not from the
kernel's page cache. A missing fsync therefore fails the test.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from tokenfall.conversations import Conversation, Turn
from tokenfall.history.sqlite import SQLiteHistory

from tests.end_to_end.client import Client
from tests.end_to_end.conftest import Serve
from tests.reliability.disk_log import PowerLoss, Record, read_records
from tests.reliability.programs import failing_disk
from tests.reliability.rows import Tally
from tests.reliability.virtual_users import VirtualUser

CONVERSATIONS = 4
KEPT_TURNS = 1_000


class Acknowledged:
    """The turns of one conversation, in order, and the size of the log when each was acknowledged."""

    def __init__(self, name: str, log: Path) -> None:
        self.conversation = Conversation("", name)
        self.user = VirtualUser(name)
        self._log = log
        self.turns: list[tuple[str, int]] = []

    async def collect(self, port: int, turns: int) -> None:
        async with await Client.connect(port) as client:
            for _ in range(turns):
                record = await self.user.request_turn(client)
                assert record.outcome == "done"
                self.turns.append((record.turn_id, self._log.stat().st_size))

    def until(self, cut: int) -> list[str]:
        return [turn for turn, size in self.turns if size <= cut]


async def stored(files: dict[str, bytes], folder: Path, conversation: Conversation) -> Sequence[Turn]:
    """The turns that the store reads from the files in `folder`."""
    history = SQLiteHistory(str(folder / "chat.db"), limit=KEPT_TURNS)
    try:
        return await history.turns(conversation) or ()
    finally:
        await history.close()


async def check_files(files: dict[str, bytes], folder: Path, *, acknowledged: Sequence[Acknowledged], cut: int) -> int:
    """Check that the files contain all turns that were acknowledged before `cut`. Returns the number of these turns."""
    await asyncio.to_thread(folder.mkdir)
    for name, data in files.items():
        if not name.endswith("-shm"):  # SQLite creates it again
            await asyncio.to_thread((folder / name).write_bytes, data)
    count = 0
    for each in acknowledged:
        turns = await stored(files, folder, each.conversation)
        expected = each.until(cut)
        ids = [turn.id for turn in turns]
        assert ids[: len(expected)] == expected, "acknowledged turns are stored once and in order"
        assert len(ids) == len(set(ids))
        requested = [record.question for record in each.user.records]
        assert [turn.question.content for turn in turns] == requested[: len(turns)], "no other turn is stored"
        assert all(turn.answer.content == each.user.expected_text("") for turn in turns), "responses are complete"
        count += len(expected)
    return count


def cuts(records: Sequence[Record], acknowledged: Sequence[Acknowledged], *, count: int, random: Random) -> list[int]:
    """Distinct positions of power losses in the log: half after an acknowledgement, half after any operation."""
    sizes = sorted({size for each in acknowledged for _, size in each.turns})
    ends = sorted({record.end for record in records} - set(sizes))
    half = min(count // 2, len(sizes))
    return sorted(random.sample(sizes, half) + random.sample(ends, count - half))


@pytest.mark.row("power")
async def test_acknowledged_turns_survive_a_power_loss_at_any_write(
    serve: Serve, tally: Tally, random: Random, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    acknowledged = [Acknowledged(f"power-{number}", log) for number in range(CONVERSATIONS)]
    server = serve(
        program=Path(failing_disk.__file__),
        HISTORY_URL=f"sqlite:///{tmp_path}/chat.db",
        HISTORY_LIMIT=str(2 * KEPT_TURNS),
        DISK_LOG=str(log),
    )
    turns = max(25, tally.required // 10)
    await asyncio.gather(*(each.collect(server.port, turns) for each in acknowledged))
    server.signal()
    assert server.wait() == 0, "shutdown runs a checkpoint, whose writes are logged too"
    records = list(read_records(await asyncio.to_thread(log.read_bytes)))
    assert any(record.name == "chat.db" and record.data for record in records[-20:]), "the log contains the checkpoint"
    found = 0
    places = cuts(records, acknowledged, count=tally.required // 2, random=random)
    for number, cut in enumerate(places):
        disk = PowerLoss(records, cut)
        for kind, files in (("synced", disk.synced_only()), ("some", disk.some_sectors(random))):
            found += await check_files(files, tmp_path / f"{kind}-{number}", acknowledged=acknowledged, cut=cut)
    tally.passed(
        f"{len(records)} writes and syncs of {turns * CONVERSATIONS} turns; all acknowledged ones were stored each "
        f"time, {found // (2 * len(places))} on average",
        count=2 * len(places),
    )


def test_unsynced_write_is_lost_by_a_power_loss() -> None:
    records = list(read_records(b"".join(each.encoded() for each in (Record("a", 0, b"1"), Record("a", 1, b"2")))))
    end = records[-1].end
    synced = Record("a", records[0].end, is_sync=True, end=end + 1)

    assert PowerLoss(records, end).synced_only() == {"a": b""}
    assert PowerLoss(records, end).all_written() == {"a": b"12"}
    assert PowerLoss([*records, synced], end + 1).synced_only() == {"a": b"1"}, "the second write began after the sync"
