"""The pure parts; the rest is for real processes: tests/end_to_end/test_workers.py."""

import os
import signal
import subprocess
import sys

import pytest

from tokenfall.cli.supervisor import FAILURE, Worker, how, supervise
from tokenfall.limits.shared import SharedTable
from tokenfall.settings import Settings
from tokenfall.shared_metrics import SharedMetrics

from tests.doubles.descriptors import open_descriptors

TABLE = SharedTable(8)

LOADED = """
import sys
import tokenfall.cli.main, tokenfall.cli.supervisor
watched = {"asyncio", "threading", "ssl", "tokenfall.bootstrap", "tokenfall.http", "tokenfall.cli.serve"}
print(*sorted(watched & {*sys.modules}))
"""


@pytest.mark.parametrize(
    ("code", "words"), [(0, "status 0"), (3, "status 3"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-63, "signal 63")]
)
def test_how_a_worker_ended_in_words(code: int, words: str) -> None:
    assert how(code) == words


def test_it_loads_no_event_loop_and_nothing_that_serves() -> None:
    run = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)

    assert run.stdout.split() == []


@pytest.fixture
def _blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


@pytest.mark.usefixtures("_blocked")
def test_a_worker_that_is_ready_says_so_and_takes_signals() -> None:
    heard, ready = os.pipe()
    Worker(SharedMetrics(1), TABLE, lifeline=-1, ready=ready).is_ready()

    assert os.read(heard, 2) == b"."
    assert os.read(heard, 2) == b"", "closed"
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    os.close(heard)


def test_a_worker_whose_supervisor_is_gone_starts_all_the_same() -> None:
    heard, ready = os.pipe()
    os.close(heard)

    Worker(SharedMetrics(1), TABLE, lifeline=-1, ready=ready).is_ready()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(ready)


def only_pipes(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are descriptors for so many pipes and for no more."""
    pipe = os.pipe
    left = iter(range(count))

    def pipe_or_none() -> tuple[int, int]:
        if next(left, None) is None:
            raise OSError(24, "Too many open files")
        return pipe()

    monkeypatch.setattr(os, "pipe", pipe_or_none)


def work(settings: Settings, worker: Worker) -> int:
    return 0


@pytest.mark.usefixtures("_own_signals")
@pytest.mark.parametrize("pipes", [0, 1])
def test_without_descriptors_to_begin_with_none_is_left_open(pipes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    only_pipes(pipes, monkeypatch)
    with pytest.raises(OSError, match="Too many open files"):
        supervise(Settings().replaced(workers=2, port=0), work)

    assert open_descriptors() <= before


@pytest.mark.usefixtures("_own_signals")
def test_workers_that_get_no_descriptor_are_not_started_and_none_is_left_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = open_descriptors()
    only_pipes(2, monkeypatch)

    assert supervise(Settings().replaced(workers=2, port=0), work) == FAILURE
    said = capsys.readouterr().err
    assert said.count("could not be started: [Errno 24] Too many open files") == 2
    assert "none of 2 could start" in said
    assert open_descriptors() <= before
    assert signal.set_wakeup_fd(-1) == -1, "nothing writes into a closed descriptor"
