"""Reads processor time and memory of a process, the machine's description and the commit, from /proc and git."""

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads so far (proc(5): fields 14 and 15 of stat)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / CLOCK_TICKS


def scheduled_seconds(pid: int) -> float:
    """The same with a resolution of nanoseconds, from the scheduler: the first field of schedstat."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def wakeups(pid: int) -> int:
    """The voluntary context switches of all its threads so far."""
    counts = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)
    tasks = Path(f"/proc/{pid}/task").glob("*/status")
    return sum(int(count) for task in tasks for count in counts.findall(task.read_text()))


def memory_mib(pid: int) -> dict[str, float]:
    """Every line of /proc/PID/smaps_rollup in MiB: Rss, Anonymous and more."""
    lines = re.findall(r"^(\w+):\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return {name: int(kib) / 1024 for name, kib in lines}


def describe_machine() -> dict[str, Any]:
    total = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": os.uname().release,
        "memory_gib": round(int(total[1]) / 1024**2, 1) if total else None,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def describe_commit(root: Path, except_for: tuple[str, ...]) -> dict[str, Any]:
    """The checked-out commit, and whether the tree differs from it outside of the paths `except_for`."""
    paths = [".", *(f":!{path}" for path in except_for)]
    commit = _git(root, "rev-parse", "HEAD")
    return {
        "commit": commit or "none",
        "short_commit": _git(root, "rev-parse", "--short", "HEAD") or "none",
        "dirty": bool(_git(root, "status", "--porcelain", "--", *paths)) or not commit,
    }


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
