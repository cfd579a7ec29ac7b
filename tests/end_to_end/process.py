"""A real `tokenfall serve` as a child process."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import tokenfall

SOURCES = Path(tokenfall.__file__).parents[1]
"""Of the package that the tests import, so that the process runs the very same tree."""

ROOT = Path(__file__).parents[2]
"""Of the tests, for the programs among them."""

EXIT_S = 20.0
"""How long a process may take to end, where that is not what is tested."""


class ServerProcess:
    """Started on a free port in an empty folder, so that neither an environment nor a `.env` leaks in."""

    def __init__(
        self,
        folder: Path,
        *,
        environment: dict[str, str],
        descriptors: int | None = None,
        program: Path | None = None,
    ) -> None:
        """`program` runs in place of the package: it changes what is around Tokenfall, then calls its `main`."""
        self.may_complain = False
        """Whether a line of level error in its log is what the test is about."""
        self.expected_status = 0
        """How it is to end; a test that ends it otherwise says so."""
        command = [sys.executable, *(("-m", "tokenfall") if program is None else (program,)), "serve"]
        if descriptors is not None:
            command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$0" "$@"', *command]
        self.log_path = folder / "stderr"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={
                    "PATH": os.defpath,
                    "PYTHONPATH": os.pathsep.join(map(os.fspath, (SOURCES,) if program is None else (SOURCES, ROOT))),
                    "PORT": "0",
                    "RATE_LIMIT_RPS": "0",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        first = self.process.stdout.readline().decode().strip()
        assert first.startswith("Tokenfall listens on http://"), f"{first!r}\n{self.log()}"
        self.port = int(first.rpartition(":")[2])

    def log(self) -> str:
        """What was written to stderr."""
        return self.log_path.read_text(encoding="utf-8")

    def greeting(self) -> str:
        """What was written to stdout after the first line; to be asked for once, after the end."""
        assert self.process.stdout is not None
        return self.process.stdout.read().decode()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, within_s: float = EXIT_S) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        return self.process.wait(within_s)

    def close(self) -> int:
        """End it in whatever state it is, by SIGTERM while that helps; the exit status."""
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
        """The pids of the processes that it has started and that are there."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return {int(child) for child in children.split()}

    def resident_bytes(self) -> int:
        statm = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * resource.getpagesize()

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))
