"""A real `redis-server` as a child process, on 127.0.0.1 only."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

START_S = 10.0
"""How long it may take until it answers."""

END_S = 10.0
"""How long it may take to end."""

STARTS = 5
"""How many ports are tried: a free one may be taken before Redis has it."""


class RedisServer:
    """Answers when the constructor returns, with an empty data set, on a free port that it keeps over a restart.

    Without `append_only` nothing outlives a restart; with it, everything that was acknowledged does.
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
        """The reply to an inline command, of which only errors, one line and one bulk are understood."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=START_S) as connection,
            connection.makefile("rb") as replies,
        ):
            connection.sendall(command.encode() + b"\r\n")
            head = replies.readline().decode().strip()
            return replies.read(int(head[1:])).decode() if head.startswith("$") else head

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """On the same port and folder, whether it runs or not."""
        self.stop()
        assert self._start(), self.log()

    def pause(self) -> None:
        """From now on it accepts connections (the kernel does) and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def reset(self) -> None:
        """Running, and empty, whatever a test has done to it."""
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
            if self._answers():
                return True
            time.sleep(0.005)  # between two tries to connect, nothing else can be waited for
        self.kill()
        return False

    def _answers(self) -> bool:
        assert self._process is not None
        try:  # by its pid: on a port that somebody else was quicker to take, his would answer
            received = self.command("INFO")
            return f"process_id:{self._process.pid}\r\n" in received and "loading:0\r\n" in received
        except (OSError, ValueError):
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # what is paused ends only when it goes on
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        assert self.running
        self._process.send_signal(number)
        if number == signal.SIGSTOP:  # it is asynchronous; see it stopped
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
