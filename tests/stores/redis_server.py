"""A real `redis-server` as a child process, on 127.0.0.1 only."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

START_S = 10.0
"""Timeout of the start."""

END_S = 10.0
"""Timeout of the exit."""

STARTS = 5
"""Number of ports tried: another process may bind a free port first."""


class RedisServer:
    """A running, empty server on a free port, which it keeps after a restart.

    With `append_only`, acknowledged writes survive a restart; without it, no data does.
    """

    def __init__(self, folder: Path, *, append_only: bool = False, options: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._options = (*options, *(("--appendonly", "yes", "--appendfsync", "always") if append_only else ()))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        for _ in range(STARTS):
            self.port = _free_port()
            if self._start():
                return
        raise AssertionError(f"redis-server does not start\n{self.log()}")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def command(self, command: str) -> str:
        """Send an inline command and return its reply: an error, a simple string or a bulk string."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=START_S) as connection,
            connection.makefile("rb") as replies,
        ):
            connection.sendall(command.encode() + b"\r\n")
            head = replies.readline().decode().strip()
            return replies.read(int(head[1:])).decode() if head.startswith("$") else head

    def stop(self) -> None:
        """Stop it with SIGTERM."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop it with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same port and folder."""
        self.stop()
        assert self._start(), self.log()

    def pause(self) -> None:
        """Stop the process with SIGSTOP: the kernel accepts connections, but no command gets a reply."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def reset(self) -> None:
        """Make it run with an empty data set, whatever its state."""
        if self.running:
            self.resume()
        else:
            self.restart()
        assert self.command("FLUSHALL") == "+OK"

    def _start(self) -> bool:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", "."]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options], cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + START_S
        while self.running and time.monotonic() < deadline_s:
            if self._is_ready():
                return True
            time.sleep(0.005)  # poll: no event tells that the server accepts connections
        self.kill()
        return False

    def _is_ready(self) -> bool:
        assert self._process is not None
        try:  # check the pid: another process may own the port
            info = self.command("INFO")
            return f"process_id:{self._process.pid}\r\n" in info and "loading:0\r\n" in info
        except (OSError, ValueError):
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # a stopped process handles SIGTERM only after SIGCONT
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        assert self.running
        self._process.send_signal(number)
        if number == signal.SIGSTOP:  # SIGSTOP is asynchronous: wait until it has stopped
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
