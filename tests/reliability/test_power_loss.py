"""The power fails at any write: what was acknowledged is on the disk, once and in order, and the file opens. (D2)

Which writes are on the disk follows from a log of all writes and syncs of a real server (`disk_log.py`), not from what
the kernel still holds: a missing fsync shows.
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
from tests.reliability.disk_log import LostPower, Record, read_records
from tests.reliability.programs import failing_disk
from tests.reliability.rows import Tally
from tests.reliability.talks import Talk

CONVERSATIONS = 4
KEPT_TURNS = 1_000


class Acknowledged:
    """The turns of one conversation, in order, and how long the log was when each was acknowledged."""

    def __init__(self, name: str, log: Path) -> None:
        self.conversation = Conversation("", name)
        self.talk = Talk(name)
        self._log = log
        self.turns: list[tuple[str, int]] = []

    async def collect(self, port: int, turns: int) -> None:
        async with await Client.connect(port) as client:
            for _ in range(turns):
                exchange = await self.talk.ask(client)
                assert exchange.end == "done"
                self.turns.append((exchange.turn, self._log.stat().st_size))

    def until(self, cut: int) -> list[str]:
        return [turn for turn, size in self.turns if size <= cut]


async def stored(files: dict[str, bytes], folder: Path, conversation: Conversation) -> Sequence[Turn]:
    """What the store reads from these files."""
    history = SQLiteHistory(str(folder / "chat.db"), limit=KEPT_TURNS)
    try:
        return await history.turns(conversation) or ()
    finally:
        await history.close()


async def holds(files: dict[str, bytes], folder: Path, *, acknowledged: Sequence[Acknowledged], cut: int) -> int:
    """Fail unless the files have all turns that were acknowledged until `cut`. The number of turns."""
    await asyncio.to_thread(folder.mkdir)
    for name, data in files.items():
        if not name.endswith("-shm"):  # it is made anew
            await asyncio.to_thread((folder / name).write_bytes, data)
    count = 0
    for each in acknowledged:
        turns = await stored(files, folder, each.conversation)
        expected = each.until(cut)
        ids = [turn.id for turn in turns]
        assert ids[: len(expected)] == expected, "what was acknowledged is there, once and in order"
        assert len(ids) == len(set(ids))
        requests = [exchange.question for exchange in each.talk.told]
        assert [turn.question.content for turn in turns] == requests[: len(turns)], "and nothing else is"
        assert all(turn.answer.content == each.talk.whole("") for turn in turns), "whole"
        count += len(expected)
    return count


def cuts(records: Sequence[Record], acknowledged: Sequence[Acknowledged], *, count: int, random: Random) -> list[int]:
    """Where the power fails: half at the moment of an acknowledgement, half at any operation; none twice."""
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
    turns = max(25, tally.wanted // 10)
    await asyncio.gather(*(each.collect(server.port, turns) for each in acknowledged))
    server.signal()
    assert server.wait() == 0, "with a checkpoint, whose writes are in the log too"
    records = list(read_records(await asyncio.to_thread(log.read_bytes)))
    assert any(record.name == "chat.db" and record.data for record in records[-20:]), "the checkpoint"
    held = 0
    places = cuts(records, acknowledged, count=tally.wanted // 2, random=random)
    for number, cut in enumerate(places):
        lost = LostPower(records, cut)
        for kind, files in (("synced", lost.synced_only()), ("some", lost.some_sectors(random))):
            held += await holds(files, tmp_path / f"{kind}-{number}", acknowledged=acknowledged, cut=cut)
    tally.passed(
        f"{len(records)} writes and syncs of {turns * CONVERSATIONS} turns; all acknowledged ones were stored each "
        f"time, {held // (2 * len(places))} on average",
        times=2 * len(places),
    )


def test_acknowledgement_before_the_sync_is_detected() -> None:
    records = list(read_records(b"".join(each.encoded() for each in (Record("a", 0, b"1"), Record("a", 1, b"2")))))
    end = records[-1].end
    synced = Record("a", records[0].end, is_sync=True, end=end + 1)

    assert LostPower(records, end).synced_only() == {"a": b""}
    assert LostPower(records, end).all_written() == {"a": b"12"}
    assert LostPower([*records, synced], end + 1).synced_only() == {"a": b"1"}, "written after the sync had begun"
