"""Runs both fuzzers and all fault injection tests with full counts: `python -m tests.reliability.torture`.

The fuzzers run first, in parallel, for `FUZZ_SECONDS` (600). Then every row of docs/reliability.md is tested with its
full count and the page is updated; with `RELIABILITY=quick`, with the counts of `make test`, to try the recipe. A
process that runs after `TORTURE_SECONDS` (3,600) is killed and counts as failed.
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
TOTAL_SECONDS = int(os.environ.get("TORTURE_SECONDS", "3600"))
TARGETS = {"sse": "the SSE decoder, compared with a reference implementation", "requests": "the request decoders"}
TESTS = ("tests/reliability", "tests/browser/test_injection_count.py")
CELL_CHARACTERS = 90
"""The maximum width of a cell in the printed table."""


@dataclass(frozen=True)
class FuzzResult:
    """Exit status and number of executed inputs of one fuzzing run."""

    target: str
    status: int
    inputs: int

    @property
    def passed(self) -> bool:
        return self.status == 0 and self.inputs > 0


def start_fuzzer(target: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz", target, str(FUZZ_SECONDS)], cwd=ROOT, stdout=file, stderr=file
        )


def run_fuzzers(folder: Path, deadline_s: float) -> list[FuzzResult]:
    """Run all fuzzers in parallel."""
    logs = {target: folder / f"{target}.log" for target in TARGETS}
    processes = {target: start_fuzzer(target, log) for target, log in logs.items()}
    try:
        statuses = {target: process.wait(deadline_s - time.monotonic()) for target, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return [FuzzResult(target, status, executed_inputs(logs[target])) for target, status in statuses.items()]


def executed_inputs(log: Path) -> int:
    """The number of executed inputs that libFuzzer reports; 0 if the report is missing."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("stat::number_of_executed_units:"):
            return int(line.rpartition(":")[2])
    return 0


def run_rows(deadline_s: float) -> int:
    """Run the tests of all rows with full counts. Returns the exit status of pytest."""
    command = [sys.executable, "-m", "pytest", *TESTS, "--numprocesses", "2", "-q"]
    environment = {"RELIABILITY": "full", **os.environ}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return process.wait(deadline_s - time.monotonic())
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # the whole group: xdist workers and their servers
            process.wait()


def page_table() -> list[list[str]]:
    """The table of docs/reliability.md with shortened cells."""
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return [[cell[:CELL_CHARACTERS] for cell in line] for line in rows_of(text)]


def format_table(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def main() -> int:
    deadline_s = time.monotonic() + TOTAL_SECONDS
    folder = ROOT / "build" / "torture"
    folder.mkdir(parents=True, exist_ok=True)
    results = run_fuzzers(folder, deadline_s)
    status = run_rows(deadline_s)
    lines = [list(HEADINGS), *page_table()]
    for result in results:
        failures = f"0 of {result.inputs}" if result.passed else f"see build/torture/{result.target}.log"
        lines.append(["-", f"fuzzing: {TARGETS[result.target]}", f"{result.inputs:,} inputs", failures, "", ""])
    sys.stdout.write(f"{format_table(lines)}\n")
    return status or (0 if all(result.passed for result in results) else 1)


if __name__ == "__main__":
    sys.exit(main())
