"""A redis-server on a socket in a temporary folder, without a port and without persistence."""

import asyncio
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from redis import Redis
from redis.exceptions import RedisError

settings.register_profile("redis", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("redis")

START_TIMEOUT_S = 10.0


class RedisServer:
    """A redis-server that a test can start, stop and freeze. `admin` is a client for the test itself."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        self.admin = Redis(unix_socket_path=str(self._socket))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(self._socket), "--save", ""],
            cwd=self._socket.parent,
            stdout=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert time.monotonic() < deadline_s, "redis-server does not start"
            time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.admin.connection_pool.disconnect()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def now_s(self) -> float:
        """The server's own clock."""
        seconds, microseconds = self.admin.time()
        return float(seconds) + float(microseconds) / 1e6

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            return bool(self.admin.ping())
        except RedisError:
            return False


@pytest.fixture(scope="session")
def common_server() -> Iterator[RedisServer]:
    """The server of all tests that do not stop it."""
    yield from served()


@pytest.fixture
def server(common_server: RedisServer) -> RedisServer:
    """The common server, with no data."""
    common_server.admin.flushall()
    return common_server


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server for a test that stops it."""
    yield from served()


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left


def served() -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs a redis-server")
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has at most 107 bytes
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()
        server.admin.close()
