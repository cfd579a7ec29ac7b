"""Servers forked from a process that has imported Tokenfall, for test suites that start hundreds of servers.

A forked server runs the command's own `main` with its own environment, folder and output. It skips the start of an
interpreter and the imports, and takes a quarter of the processor time. Tests of the process itself (its start, memory
or imports) need a `ServerProcess` without a `Preloaded`.

The tests control the parent through a SOCK_SEQPACKET socket pair. A request is the folder and the environment as JSON
with three descriptors: for standard output, standard error and the exit status. The reply is the pid.
"""

import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import tokenfall
from tokenfall.api import page

from tests.doubles.requests import request as page_request

REQUEST_BYTES = 65_536
DESCRIPTORS = 3
NOT_PRELOADED = {"tokenfall.__main__", "tokenfall.testing"}
"""Importing the first runs the command. The second is for test suites; no server imports it."""


class Preloaded:
    """The tests' handle of the parent process."""

    def __init__(self, environment: dict[str, str], command: tuple[str, ...]) -> None:
        self.web: Path | None = None
        """Folder of the web pages for servers forked from now on, None for the package's."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(self, folder: Path, environment: dict[str, str], log: int) -> "ForkedProcess":
        """Fork a process that runs the command with standard error to `log`."""
        out, out_of_child = os.pipe()
        status, status_of_child = os.pipe()
        try:
            web = None if self.web is None else str(self.web)
            request = json.dumps({"folder": str(folder), "environment": environment, "web": web}).encode()
            socket.send_fds(self._control, [request], [out_of_child, log, status_of_child])
        finally:
            os.close(out_of_child)
            os.close(status_of_child)
        return ForkedProcess(int(self._control.recv(REQUEST_BYTES)), out, status)

    def close(self) -> None:
        """Stop the parent; all servers must have ended before."""
        self._control.close()
        self._process.wait()


class ForkedProcess:
    """The part of `subprocess.Popen`'s interface that tests use, for a process that is no child of this one."""

    def __init__(self, pid: int, out: int, status: int) -> None:
        self.pid = pid
        self.stdout = os.fdopen(out, "rb")
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Return the exit status, None while the process runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is not None:
            return self.returncode
        with selectors.DefaultSelector() as selector:
            selector.register(self._status, selectors.EVENT_READ)
            if not selector.select(timeout):
                raise subprocess.TimeoutExpired("tokenfall", timeout or 0)
        self.returncode = int(os.read(self._status, 16))
        os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended, as in `subprocess`
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Parent:
    """Forks on request, and reports each child's exit status."""

    def __init__(self, control: socket.socket, command: list[str]) -> None:
        self._control = control
        self._command = command
        self._statuses: dict[int, int] = {}
        """By pid, the descriptor to write the exit status to."""
        self._woken, self._waker = os.pipe()
        self._web = page.WEB
        self._compressed: set[str] = set()
        """The folders whose pages are in the cache."""

    def run(self) -> None:
        """Serve requests until the tests close their end. Returns in the parent only."""
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            selector.register(self._control, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    os.read(self._woken, 4096)
                    self._reap()
                if self._control in ready and not self._serve(selector):
                    return

    def _serve(self, selector: selectors.BaseSelector) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, REQUEST_BYTES, DESCRIPTORS)
        if not message:
            return False
        out, log, status = descriptors
        request = json.loads(message)
        self._use_pages(request["web"] or self._web)
        pid = os.fork()
        if pid == 0:
            selector.close()
            self._become_server(request, out, log)
        os.close(out)
        os.close(log)
        self._statuses[pid] = status
        self._control.send(str(pid).encode())
        return True

    def _use_pages(self, web: str) -> None:
        """Servers to come serve the pages in this folder, which are compressed once, here, and not by each server."""
        page.WEB = web
        if web not in self._compressed:
            self._compressed.add(web)
            pages = page.Page()
            for path in pages.files:
                pages.serve(page_request(path, headers={"Accept-Encoding": "gzip"}))

    def _reap(self) -> None:
        while self._statuses:
            pid, waited = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            status = self._statuses.pop(pid)
            os.write(status, str(os.waitstatus_to_exitcode(waited)).encode())
            os.close(status)

    def _become_server(self, request: dict[str, Any], out: int, log: int) -> NoReturn:
        """Set up the child as a new process: signals, descriptors, folder, environment. Then run the command."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(out, 1)
        os.dup2(log, 2)
        os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
        self._control.detach()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = self._command
        from tokenfall.__main__ import main  # noqa: PLC0415 - imported as late as in the command

        status = 1
        try:
            status = main()
        except Exception:  # noqa: BLE001 - printed, as the interpreter does
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)  # skips the interpreter's teardown, which takes longer than the start


def import_all() -> None:
    """Import all modules that a server may import, once for all forked servers."""
    for module in pkgutil.walk_packages(tokenfall.__path__, "tokenfall."):
        if not any(module.name == name or module.name.startswith(f"{name}.") for name in NOT_PRELOADED):
            importlib.import_module(module.name)


if __name__ == "__main__":
    import_all()
    gc.collect()
    gc.freeze()  # keeps pages shared with the children: no collection writes to them
    _Parent(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:]).run()
