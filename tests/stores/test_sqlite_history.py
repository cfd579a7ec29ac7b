"""What takes a process of its own: a disk that refuses, a kill -9, a start at the same moment."""

import signal
import subprocess
import sys
from pathlib import Path

from tokenfall.history.sqlite import SQLiteHistory

from tests.contracts.history import ALICE, turn

ROOT = Path(__file__).parents[2]

FULL_DISK = """
import asyncio, os, resource, sys
from tokenfall.errors import StoreUnavailable
from tokenfall.history.sqlite import SQLiteHistory
from tests.contracts.history import ALICE, turn

async def main():
    history = SQLiteHistory(sys.argv[1], limit=100)
    await history.append(ALICE, turn(1))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(sys.argv[1] + "-wal"), hard))
    for number in (2, 3):
        try:
            await history.append(ALICE, turn(number, text="x" * 50_000))
        except StoreUnavailable:
            print("unavailable", len(await history.turns(ALICE)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await history.append(ALICE, turn(4))
    print([each.id for each in await history.turns(ALICE)])
    await history.close()

asyncio.run(main())
"""

LARGE_TURN = """
import asyncio, os, resource, sys
from tokenfall.errors import StoreUnavailable
from tokenfall.history.sqlite import CHECK_BYTES, SQLiteHistory
from tests.contracts.history import ALICE, turn

async def ready(history):
    try:
        await history.check()
    except StoreUnavailable:
        return False
    return True

async def main():
    history = SQLiteHistory(sys.argv[1], limit=100)
    await history.append(ALICE, turn(1))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    room = os.path.getsize(sys.argv[1] + "-wal") + 4 * CHECK_BYTES
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    print(await ready(history))
    try:
        await history.append(ALICE, turn(2, text="x" * 8 * CHECK_BYTES))
    except StoreUnavailable:
        print(await ready(history), await ready(history))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(await ready(history))
    await history.append(ALICE, turn(3, text="x" * 8 * CHECK_BYTES))
    await ready(history)  # lets go of what the larger probe wrote
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(sys.argv[1] + "-wal") + 4 * CHECK_BYTES, hard))
    print(await ready(history))
    await history.close()

asyncio.run(main())
"""

WRITER = """
import asyncio, sys
from tokenfall.history.sqlite import SQLiteHistory
from tests.contracts.history import ALICE, turn

async def main():
    history = SQLiteHistory(sys.argv[1], limit=100_000)
    sys.stdin.readline()
    for number in range(int(sys.argv[2]), int(sys.argv[3])):
        await history.append(ALICE, turn(number))
        print(number, flush=True)
    await history.close()

asyncio.run(main())
"""


def start(program: str, *arguments: object) -> "subprocess.Popen[str]":
    """A process that waits for a line on stdin, where its program does."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def kept(path: Path) -> list[int]:
    history = SQLiteHistory(str(path), limit=100_000)
    turns = await history.turns(ALICE) or ()
    await history.close()
    numbers = [int(each.id.removeprefix("turn_")) for each in turns]
    assert turns == [turn(number) for number in numbers]
    return numbers


def test_a_disk_that_takes_no_more_is_unavailable_and_recovers(tmp_path: Path) -> None:
    child = start(FULL_DISK, tmp_path / "history.db")
    output, complaints = child.communicate(timeout=20)

    assert output.splitlines() == ["unavailable 1", "unavailable 1", "['turn_1', 'turn_4']"], complaints
    assert child.returncode == 0


async def test_processes_that_begin_at_once_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    children = [start(WRITER, path, 100 * each, 100 * each + 30) for each in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        output, complaints = child.communicate(timeout=20)
        assert len(output.split()) == 30, complaints
    numbers = await kept(path)

    assert sorted(numbers) == [100 * each + number for each in range(4) for number in range(30)]
    for each in range(4):
        own = [number for number in numbers if number // 100 == each]
        assert own == sorted(own)


async def test_acknowledged_turns_survive_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    for round_ in range(5):
        child = start(WRITER, path, 10_000 * round_, 10_000 * (round_ + 1))
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        acknowledged = [int(child.stdout.readline()) for _ in range(3 + 7 * round_)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [int(number) for number in child.stdout.read().split()]  # communicate() skips its buffer
        child.communicate()
        numbers = [number for number in await kept(path) if number // 10_000 == round_]

        # At most the one whose acknowledgement did not get out any more comes in addition.
        assert numbers[: len(acknowledged)] == acknowledged
        assert len(numbers) - len(acknowledged) in {0, 1}


def test_check_fails_while_a_turn_of_the_refused_size_does_not_fit(tmp_path: Path) -> None:
    with start(LARGE_TURN, tmp_path / "history.db") as process:
        received, _ = process.communicate(timeout=30)

    assert received.split() == ["True", "False", "False", "True", "True"]
