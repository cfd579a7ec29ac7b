"""Child processes of a run: pinned to a core, in a small environment, their output in a file.

A child is ended through its own handle and nothing else is ever ended.
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

ENVIRONMENT_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
PORTS = range(20000, 30000)  # below the range that the kernel gives to outgoing connections
ENDS_WITHIN_S = 15.0
_next_port = iter(PORTS)


def small_environment(more: Mapping[str, str]) -> dict[str, str]:
    """What a measured process sees: no setting of the caller's shell, and bytecode is cached."""
    kept = {name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ}
    return {**kept, **more}


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens, another one at each call."""
    for port in _next_port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NotMeasured("no free port is left")


class DidNotListen(NotMeasured):
    """A server ended, or let its time pass, before it accepted a connection."""


class Process(Protocol):
    """A server's process, whoever started it."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int: ...

    def ends_within(self, seconds: float) -> bool:
        """Waits for its end, so long at most, and says whether it came."""
        ...


def ended_within(pidfd: int, seconds: float) -> bool:
    """The same by a descriptor of the process."""
    readable, _, _ = select.select([pidfd], [], [], seconds)
    return bool(readable)


class Child:
    """One process that this run started; leaving the `with` block ends it."""

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
                cwd=log.parent,  # holds no .env that the server would read
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
    """Connects until it succeeds, and sends nothing."""
    for _ in _attempts(process, every_s=0.02, within_s=within_s):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            continue
        return


def wait_until_healthy(process: Process, port: int, *, within_s: float = 30.0) -> None:
    """Asks for /health until it is answered with 200; looks again each millisecond."""
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
            raise DidNotListen(f"{process.name} ended at its start: see its log in benchmarks/.build")
    raise DidNotListen(f"{process.name} did not answer within {within_s:g} s")


@contextmanager
def listening(child: Child, port: int, *, within_s: float = 30.0) -> Iterator[Child]:
    with child:
        wait_until_listening(child, port, within_s=within_s)
        yield child
