"""A real `tokenfall serve` as a child process."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import tokenfall

from tests.end_to_end.preloaded import ForkedProcess, Preloaded

SOURCES = Path(tokenfall.__file__).parents[1]
"""Source folder of the imported package, so that the process runs the same tree."""

ROOT = Path(__file__).parents[2]
"""Root of the repository, for programs in `tests`."""

COMMAND = ("tokenfall", "serve")

EXIT_S = 20.0
"""Exit timeout of a process where the exit is not under test."""


def command(descriptors: int | None = None, program: Path | None = None) -> list[str | Path]:
    """Return the command line of a server, with a limit of open descriptors if one is given."""
    words = [sys.executable, *(("-m", "tokenfall") if program is None else (program,)), "serve"]
    if descriptors is None:
        return words
    return ["sh", "-c", f'ulimit -n {descriptors}; exec "$0" "$@"', *words]


def environment_of(environment: dict[str, str], program: Path | None = None) -> dict[str, str]:
    """Return the complete environment of a server with these settings."""
    folders = (SOURCES,) if program is None else (SOURCES, ROOT)
    return {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(map(os.fspath, folders)),
        "PORT": "0",
        "RATE_LIMIT_RPS": "0",
        **environment,
    }


def preload() -> Preloaded:
    """Start a process to fork servers from."""
    python_path = os.pathsep.join(map(os.fspath, (SOURCES, ROOT)))
    return Preloaded({"PATH": os.defpath, "PYTHONPATH": python_path}, COMMAND)


class ServerProcess:
    """A server on a free port in an empty folder, with no inherited environment and no `.env`."""

    def __init__(
        self,
        folder: Path,
        *,
        environment: dict[str, str],
        descriptors: int | None = None,
        program: Path | None = None,
        preloaded: Preloaded | None = None,
    ) -> None:
        """`program` runs in place of the package: it patches the environment of Tokenfall, then calls its `main`.

        With `preloaded`, the server is forked from that process instead of started by its command.
        """
        self.may_log_errors = False
        """Whether error lines are expected in the log."""
        self.expected_status = 0
        """The expected exit status."""
        self.log_path = folder / "stderr"
        variables = environment_of(environment, program)
        self.process: subprocess.Popen[bytes] | ForkedProcess
        with self.log_path.open("wb") as log:
            if preloaded is not None:
                assert (descriptors, program) == (None, None), "a forked server supports neither"
                self.process = preloaded.start(folder, variables, log.fileno())
            else:
                self.process = subprocess.Popen(
                    command(descriptors, program),
                    cwd=folder,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        assert self.process.stdout is not None
        first = self.process.stdout.readline().decode().strip()
        listens = first.startswith("Tokenfall listens on http://")
        if not listens:
            self.close()
        assert listens, f"{first!r}\n{self.log()}"
        self.port = int(first.rpartition(":")[2])

    def log(self) -> str:
        """Return what was written to stderr."""
        return self.log_path.read_text(encoding="utf-8")

    def remaining_stdout(self) -> str:
        """Return what was written to stdout after the first line; call it once, after the exit."""
        assert self.process.stdout is not None
        return self.process.stdout.read().decode()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, within_s: float = EXIT_S) -> int:
        """Return the exit status. Raises subprocess.TimeoutExpired."""
        return self.process.wait(within_s)

    def close(self) -> int:
        """Stop the process with SIGTERM, after a timeout with SIGKILL, and return the exit status."""
        try:
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    return self.wait()
                except subprocess.TimeoutExpired:
                    self.process.kill()
            return self.process.wait()
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()

    def workers(self) -> set[int]:
        """Return the pids of its running child processes."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return {int(child) for child in children.split()}

    def resident_bytes(self) -> int:
        statm = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * resource.getpagesize()

    def processor_s(self) -> float:
        """Return the CPU seconds of its own process, without workers."""
        return time.clock_gettime(~self.process.pid << 3 | 2)  # clock_getcpuclockid(3)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))
