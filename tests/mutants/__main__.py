"""Plant each fault and see the test that it names fail: `python -m tests.mutants [NAME...]`.

Works on copies of the tree in a temporary folder, several at a time. Without a fault, all these tests must pass there.
Prints a table; the status is 1 if a fault is not caught, or its patch does not apply any more.
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
"""pytest's status when tests failed; others say that it could not run them."""

CAUGHT = "caught"


class Copy:
    """A copy of the tree, which one thread uses at a time."""

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
        """pytest's status for one test; `FAILED` too when it does not end."""
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
    """Copies for as many threads."""

    def __init__(self, folder: Path, count: int) -> None:
        self._free: SimpleQueue[Copy] = SimpleQueue()
        for number in range(count):
            self._free.put(Copy(folder / str(number)))

    def result(self, mutant: Mutant) -> str:
        """What came of a planted fault, in words."""
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
        return {0: "NOT CAUGHT", FAILED: CAUGHT}.get(status, f"pytest ended with status {status}")

    def passing(self, tests: Iterable[str]) -> str:
        """Run tests without a fault; what pytest says of those that fail, "" for none."""
        copy = self._free.get()
        try:
            done = copy.pytest("--numprocesses", "2", "--reruns", "1", *tests)
            return done.stdout if done.returncode else ""
        finally:
            self._free.put(copy)


def main() -> int:
    wanted = sys.argv[1:]
    planted = [mutant for mutant in mutants() if not wanted or mutant.name in wanted]
    caught = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = Copies(Path(folder), COPIES)
        failing = copies.passing(dict.fromkeys(mutant.test for mutant in planted))
        if failing:
            sys.stdout.write(f"{failing}\nthese tests fail without a fault\n")
            return 1
        with ThreadPoolExecutor(COPIES) as threads:
            for mutant, result in zip(planted, threads.map(copies.result, planted), strict=True):
                caught += result == CAUGHT
                sys.stdout.write(f"{mutant.fault:4} {result:26} {mutant.name:40} {mutant.test.rpartition('/')[2]}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{caught} of {len(planted)} planted faults were caught\n")
    return 0 if planted and caught == len(planted) else 1


if __name__ == "__main__":
    sys.exit(main())
