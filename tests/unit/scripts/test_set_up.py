"""The shell scripts of the Makefile, each run with its own PATH."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder to use as PATH, with the tools that the scripts call but without Python and apt-get."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "dirname", "sed", "sh"):
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return folder


def command(path: Path, name: str, *, exit_status: int) -> Path:
    file = path / name
    file.write_text(f"#!/bin/sh\nexit {exit_status}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def run(path: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPTS / script), *arguments],
        env={"PATH": os.fspath(path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_or_outdated_interpreter_is_skipped(path: Path) -> None:
    command(path, "python3.13", exit_status=127)
    command(path, "python3.12", exit_status=1)
    good = command(path, "python3.11", exit_status=0)
    command(path, "python3", exit_status=0)

    assert run(path, "find-python").stdout == f"{good}\n"


def test_requested_interpreter_is_used_or_refused(path: Path) -> None:
    command(path, "python3.11", exit_status=0)
    mine = command(path, "mine", exit_status=0)
    old = command(path, "old", exit_status=1)

    assert run(path, "find-python", PYTHON="mine").stdout == f"{mine}\n"
    refused = run(path, "find-python", PYTHON=str(old))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"PYTHON={old} does not run as Python 3.11 or later\n"


def test_missing_interpreter_is_a_one_line_error(path: Path) -> None:
    result = run(path, "find-python")

    assert result.returncode == 1
    assert result.stderr == "missing: Python 3.11 or later (name one with PYTHON=/path/to/python)\n"


def test_missing_packages_of_the_group_are_a_one_line_error(path: Path, tmp_path: Path) -> None:
    command(path, "present", exit_status=0)
    listed = tmp_path / "packages.list"
    listed.write_text(
        "# a comment\n\ntest here present\ntest redis-server absent-1 # why\n"
        "test chromium absent-2\nbench gcc absent-3\n",
        encoding="utf-8",
    )

    result = run(path, "system-packages", "test", SYSTEM_PACKAGES_LIST=str(listed))

    assert result.returncode == 1
    assert result.stderr == "missing: redis-server chromium (apt-get install redis-server chromium)\n"


def test_no_missing_package_prints_nothing(path: Path, tmp_path: Path) -> None:
    command(path, "present", exit_status=0)
    listed = tmp_path / "packages.list"
    listed.write_text("test here present\nbench gcc absent\n", encoding="utf-8")

    result = run(path, "system-packages", "test", SYSTEM_PACKAGES_LIST=str(listed))

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
