"""The long forms of all tests of faults, within an hour, and their table: `python -m tests.reliability.torture`.

Both fuzzers run first, side by side, for `FUZZ_SECONDS` each (600); then every row of docs/reliability.md with its full
count, which writes the page. What does not end within `TORTURE_SECONDS` (3,600) is ended and counts as a failure.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.rows import BEGIN, END, HEADINGS, PAGE, rows_of

ROOT = Path(__file__).parents[2]
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "600"))
WHOLE_SECONDS = int(os.environ.get("TORTURE_SECONDS", "3600"))
TARGETS = {"sse": "the reader of server-sent events against the standard", "requests": "the decoders of requests"}
TESTS = ("tests/reliability", "tests/browser/test_injection_count.py")
SEEN_CHARACTERS = 90
"""Of a cell of the printed table."""


@dataclass(frozen=True)
class Fuzzed:
    """What came of a fuzzer."""

    target: str
    status: int
    inputs: int

    @property
    def passed(self) -> bool:
        return self.status == 0 and self.inputs > 0


def fuzz(target: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz", target, str(FUZZ_SECONDS)], cwd=ROOT, stdout=file, stderr=file
        )


def fuzzed(folder: Path, until_s: float) -> list[Fuzzed]:
    """Run all fuzzers side by side."""
    logs = {target: folder / f"{target}.log" for target in TARGETS}
    processes = {target: fuzz(target, log) for target, log in logs.items()}
    try:
        statuses = {target: process.wait(until_s - time.monotonic()) for target, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return [Fuzzed(target, status, inputs_of(logs[target])) for target, status in statuses.items()]


def inputs_of(log: Path) -> int:
    """The number of inputs that libFuzzer reports; 0 if it did not come so far."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("stat::number_of_executed_units:"):
            return int(line.rpartition(":")[2])
    return 0


def rows(until_s: float) -> int:
    """Run every row with its full count; the exit status of pytest."""
    command = [sys.executable, "-m", "pytest", *TESTS, "--numprocesses", "2", "-q"]
    environment = {**os.environ, "RELIABILITY": "full"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return process.wait(until_s - time.monotonic())
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # with its workers and their servers
            process.wait()


def table() -> list[list[str]]:
    """The page's, as a terminal shows it."""
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return [[cell[:SEEN_CHARACTERS] for cell in line] for line in rows_of(text)]


def printed(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def main() -> int:
    until_s = time.monotonic() + WHOLE_SECONDS
    folder = ROOT / "build" / "torture"
    folder.mkdir(parents=True, exist_ok=True)
    results = fuzzed(folder, until_s)
    status = rows(until_s)
    lines = [list(HEADINGS), *table()]
    for result in results:
        failures = f"0 of {result.inputs}" if result.passed else f"see build/torture/{result.target}.log"
        lines.append(["-", f"fuzzed: {TARGETS[result.target]}", f"{result.inputs:,} inputs", failures, "", ""])
    sys.stdout.write(f"{printed(lines)}\n")
    return status or (0 if all(result.passed for result in results) else 1)


if __name__ == "__main__":
    sys.exit(main())
