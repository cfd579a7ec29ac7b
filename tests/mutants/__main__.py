"""Mutation test: apply each mutant and check that its test fails: `python -m tests.mutants [NAME...]`.

Runs in copies of the repository in a temporary folder, `COPIES` in parallel. First, all these tests must pass without a
mutant. Prints a table; the exit status is 1 if a mutant survives or its patch no longer applies.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.patches import ROOT, Mutant, mutants

COPIES = 2
TEST_S = 300.0
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "build", "dist", "artifacts", ".*_cache", ".hypothesis"
)
FAILED = 1
"""pytest's exit status for failed tests; higher values mean that the tests could not be run."""

KILLED = "killed"


class Copy:
    """A copy of the repository, used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT, folder, ignore=NOT_COPIED, symlinks=True)
        packages = ROOT / "tests" / "npm" / "node_modules"
        if packages.exists():
            (folder / "tests" / "npm" / "node_modules").symlink_to(packages)

    def apply(self, patch: Path, *, reverse: bool = False) -> bool:
        command = ["git", "apply", "--unidiff-zero", *(["--reverse"] if reverse else []), str(patch)]
        return subprocess.run(command, cwd=self.folder, capture_output=True, check=False).returncode == 0

    def run(self, test: str) -> int:
        """The exit status of pytest for one test; `FAILED` also after a timeout."""
        try:
            return self.pytest("-x", "-p", "no:rerunfailures", test, within_s=TEST_S).returncode
        except subprocess.TimeoutExpired:
            return FAILED

    def pytest(self, *arguments: str, within_s: float | None = None) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "src")}
        environment.pop("RELIABILITY", None)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=within_s
        )


class Copies:
    """A pool of `count` copies, one for each thread."""

    def __init__(self, folder: Path, count: int) -> None:
        self._free: SimpleQueue[Copy] = SimpleQueue()
        for number in range(count):
            self._free.put(Copy(folder / str(number)))

    def result(self, mutant: Mutant) -> str:
        """Run the mutant's test. Returns the result for the printed table; `KILLED` if the test failed."""
        copy = self._free.get()
        try:
            if not copy.apply(mutant.path):
                return "the patch does not apply"
            try:
                status = copy.run(mutant.test)
            finally:
                assert copy.apply(mutant.path, reverse=True)
        finally:
            self._free.put(copy)
        return {0: "SURVIVED", FAILED: KILLED}.get(status, f"pytest ended with status {status}")

    def failures_without_mutant(self, tests: Iterable[str]) -> str:
        """Run tests without a mutant. Returns pytest's output if any fails, else an empty string."""
        copy = self._free.get()
        try:
            done = copy.pytest("--numprocesses", "2", "--reruns", "1", *tests)
            return done.stdout if done.returncode else ""
        finally:
            self._free.put(copy)


def main() -> int:
    names = sys.argv[1:]
    selected = [mutant for mutant in mutants() if not names or mutant.name in names]
    killed = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = Copies(Path(folder), COPIES)
        failing = copies.failures_without_mutant(dict.fromkeys(mutant.test for mutant in selected))
        if failing:
            sys.stdout.write(f"{failing}\nthese tests fail without a mutant\n")
            return 1
        with ThreadPoolExecutor(COPIES) as threads:
            for mutant, result in zip(selected, threads.map(copies.result, selected), strict=True):
                killed += result == KILLED
                sys.stdout.write(f"{mutant.fault:4} {result:26} {mutant.name:40} {mutant.test.rpartition('/')[2]}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{killed} of {len(selected)} mutants were killed\n")
    return 0 if selected and killed == len(selected) else 1


if __name__ == "__main__":
    sys.exit(main())
