"""Child processes of a run: pinned to a core, with a minimal environment and their output in a file.

Only processes that were started here are ended, through their own handles.
"""

import http.client
import os
import select
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Protocol, Self

from benchmarks.measurement import NotMeasured

INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
PORTS = range(20000, 30000)  # below the range of ephemeral ports
ENDS_WITHIN_S = 15.0
_next_port = iter(PORTS)


def small_environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a measured process: no settings of the caller's shell; bytecode is cached."""
    kept = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    return {**kept, **more}


def free_port() -> int:
    """A free port of 127.0.0.1, a different one at each call."""
    for port in _next_port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NotMeasured("there is no free port")


class DidNotListen(NotMeasured):
    """A server ended before it accepted a connection, or did not accept one in time."""


class Process(Protocol):
    """A server's process, started here or by another program."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int: ...

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end for at most `seconds`; return whether it has ended."""
        ...


def ended_within(pidfd: int, seconds: float) -> bool:
    """The same for a process descriptor."""
    readable, _, _ = select.select([pidfd], [], [], seconds)
    return bool(readable)


class Child:
    """A process started by this run, ended at the end of the `with` block."""

    def __init__(self, command: list[str], *, core: int, env: Mapping[str, str], log: Path) -> None:
        self.name = log.stem
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=small_environment(env),
                cwd=log.parent,  # a folder without .env, which the server would read
            )
        self.pid = self._process.pid
        self._ended = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ends_within(self, seconds: float) -> bool:
        return self._process.returncode is not None or ended_within(self._ended, seconds)

    def stop(self) -> None:
        if self._process.returncode is not None:
            return
        self._process.terminate()
        if not self.ends_within(ENDS_WITHIN_S):
            self._process.kill()
        self._process.wait()
        os.close(self._ended)


def wait_until_listening(process: Process, port: int, *, within_s: float = 30.0) -> None:
    """Try to connect until it succeeds; send nothing."""
    for _ in _attempts(process, every_s=0.02, within_s=within_s):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            continue
        return


def wait_until_healthy(process: Process, port: int, *, within_s: float = 30.0) -> None:
    """Request /health every millisecond until the response is 200."""
    for _ in _attempts(process, every_s=0.001, within_s=within_s):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within_s)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()


def _attempts(process: Process, *, every_s: float, within_s: float) -> Iterator[None]:
    deadline = monotonic() + within_s
    while monotonic() < deadline:
        yield
        if process.ends_within(every_s):
            raise DidNotListen(f"{process.name} ended during startup: see its log in benchmarks/.build")
    raise DidNotListen(f"{process.name} did not respond within {within_s:g} s")


@contextmanager
def listening(child: Child, port: int, *, within_s: float = 30.0) -> Iterator[Child]:
    with child:
        wait_until_listening(child, port, within_s=within_s)
        yield child
