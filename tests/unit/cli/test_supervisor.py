"""The parts without child processes; tests/end_to_end/test_workers.py has the rest."""

import os
import signal
import subprocess
import sys

import pytest

from tokenfall.cli.supervisor import FAILURE, exit_reason, supervise
from tokenfall.cli.worker import Worker
from tokenfall.limits.shared import SharedTable
from tokenfall.metrics.shared import SharedMetrics
from tokenfall.settings import Settings

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
def test_exit_reason_names_status_or_signal(code: int, words: str) -> None:
    assert exit_reason(code) == words


def test_supervisor_imports_no_event_loop_and_no_server() -> None:
    unmeasured = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", LOADED]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=unmeasured)

    assert run.stdout.split() == []


@pytest.fixture
def _blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


@pytest.mark.usefixtures("_blocked")
def test_ready_worker_reports_it_and_unblocks_signals() -> None:
    read_end, ready = os.pipe()
    Worker(SharedMetrics(1), TABLE, lifeline=-1, ready=ready).report_ready()

    assert os.read(read_end, 2) == b"."
    assert os.read(read_end, 2) == b"", "closed"
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    os.close(read_end)


def test_worker_without_a_supervisor_still_starts() -> None:
    read_end, ready = os.pipe()
    os.close(read_end)

    Worker(SharedMetrics(1), TABLE, lifeline=-1, ready=ready).report_ready()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(ready)


def only_pipes(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the number of pipes that can be created, as if the process had no descriptors left."""
    pipe = os.pipe
    remaining = iter(range(count))

    def pipe_or_none() -> tuple[int, int]:
        if next(remaining, None) is None:
            raise OSError(24, "Too many open files")
        return pipe()

    monkeypatch.setattr(os, "pipe", pipe_or_none)


def work(settings: Settings, worker: Worker) -> int:
    return 0


@pytest.mark.usefixtures("_own_signals")
@pytest.mark.parametrize("pipes", [0, 1])
def test_failed_start_without_descriptors_leaks_none(pipes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    only_pipes(pipes, monkeypatch)
    with pytest.raises(OSError, match="Too many open files"):
        supervise(Settings().replaced(workers=2, port=0), work)

    assert open_descriptors() <= before


@pytest.mark.usefixtures("_own_signals")
def test_workers_without_descriptors_are_not_started_and_none_leak(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = open_descriptors()
    only_pipes(2, monkeypatch)

    assert supervise(Settings().replaced(workers=2, port=0), work) == FAILURE
    errors = capsys.readouterr().err
    assert errors.count("could not be started: [Errno 24] Too many open files") == 2
    assert "none of 2 could start" in errors
    assert open_descriptors() <= before
    assert signal.set_wakeup_fd(-1) == -1, "closed descriptors are not written to"
