"""The command as a process: a signal may arrive during the start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tokenfall

SOURCES = Path(tokenfall.__file__).parents[1]

SIGNAL_AT_IMPORT = """
import _signal, os, sys
_signal.signal(_signal.SIGHUP, _signal.SIG_DFL)  # tests that run under `nohup` inherit that it is ignored
class Finder:
    def find_spec(self, name, path, target=None):
        if name == os.environ["AT"]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(os.environ["NUMBER"]))
sys.meta_path.insert(0, Finder())
"""
"""A `sitecustomize` that sends the process a signal when it imports a module."""


def run(folder: Path, number: signal.Signals, *, at: str, words: tuple[str, ...] = ("serve",)) -> tuple[int, str]:
    """The exit status of the command and its output on both streams."""
    (folder / "sitecustomize.py").write_text(SIGNAL_AT_IMPORT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tokenfall", *words],
        cwd=folder,
        env={"PORT": "0", "PYTHONPATH": f"{folder}{os.pathsep}{SOURCES}", "AT": at, "NUMBER": str(number.value)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("at", ["tokenfall.cli", "tokenfall.settings", "tokenfall.http.connection"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signal_during_the_start_ends_it_silently(tmp_path: Path, number: signal.Signals, at: str) -> None:
    assert run(tmp_path, number, at=at) == (128 + number, "")


@pytest.mark.parametrize("at", ["tokenfall.reactor", "tokenfall.cli"])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_ignored_signal_does_not_end_the_start(tmp_path: Path, number: signal.Signals, at: str) -> None:
    status, output = run(tmp_path, number, at=at, words=("--version",))

    assert (status, output) == (0, f"tokenfall {tokenfall.__version__}\n")
