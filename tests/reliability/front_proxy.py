"""Base class for reverse proxy processes in front of a server under test, on a free port of 127.0.0.1."""

import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

START_S = 10.0


class FrontProxy:
    """A subclass calls `start`, which returns when the proxy listens on `port`."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def start(self, command: Sequence[str | Path], *, log: Path) -> None:
        """Run `command` with its output in `log`; wait until it accepts connections."""
        self._log = log.open("wb")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=START_S).close()
                return
            except ConnectionRefusedError:
                output = log.read_text(encoding="utf-8")
                assert self._process.poll() is None, output
                assert time.monotonic() < deadline_s, output
                time.sleep(0.01)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(START_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._log.close()
