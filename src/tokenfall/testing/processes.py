"""A server in a child process, which a test may kill."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import tokenfall
from tokenfall.testing.hosts import Address

SOURCES = Path(tokenfall.__file__).parents[1]
"""The folder of this package, so that the child runs the same code."""

SPARE_S = 5.0
"""Time after its drain time at which a child is killed."""

_LOG_TAIL_BYTES = 2_000
_GREETING_LINES = 10


class ProcessHost:
    """`python -m tokenfall serve` in an empty folder, so that no `.env` is read. Raises OSError if it fails."""

    def __init__(self, texts: dict[str, str], key: str | None, *, host: str, drain_s: float) -> None:
        self._end: str | None = None
        self._stop_timeout_s = drain_s + SPARE_S
        self._folder = TemporaryDirectory(prefix="tokenfall-")
        self._log = Path(self._folder.name, "stderr")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tokenfall", "serve"],
                cwd=self._folder.name,
                env={"PATH": os.defpath, "PYTHONPATH": os.fspath(SOURCES), **texts},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        port = self._read_port()
        if port is None:
            self.stop()
            raise OSError(f"the server did not start: {self._end}")
        self.address = Address(host, port, key)

    def _read_port(self) -> int | None:
        """The port in the greeting, None without a greeting. Reads all of it, so that the child gets no SIGPIPE."""
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        with self._process.stdout as stdout:
            lines = [stdout.readline().decode().strip() for _ in range(_GREETING_LINES)]
        port = lines[0].rpartition(":")[2]
        return int(port) if port.isdigit() and lines[-1] else None

    def exit_reason(self) -> str | None:
        """See `tokenfall.testing.hosts.Host`."""
        status = self._process.poll()
        if status is not None and self._end is None:
            reason = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
            stderr = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
            self._end = f"its process has ended: {reason}" + (f"; its stderr:\n{stderr}" if stderr else "")
        return self._end

    @property
    def pid(self) -> int:
        """See `tokenfall.testing.hosts.Host`."""
        return self._process.pid

    def stop(self) -> None:
        """See `tokenfall.testing.hosts.Host`."""
        self._process.terminate()  # no effect if it has ended
        try:
            self._process.wait(self._stop_timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.exit_reason()  # reads the log before its folder is deleted
        self._folder.cleanup()
