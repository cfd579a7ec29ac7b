"""`--workers N`: several processes on one port, and the end of a worker or of the supervisor."""

import asyncio
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.end_to_end.chatting import start_stream
from tests.end_to_end.client import PATIENCE_S, Client, metric, metric_becomes, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import SOURCES, ServerProcess
from tests.end_to_end.test_framing import frames

WORKERS = 3
CONNECTIONS = 60
"""Number of connections with which each of three workers has one, except with probability 1 in 10**10."""

ENVIRONMENT = {"HISTORY_URL": "sqlite:///chat.db"}
"""Settings that several workers require: a shared history."""

SHUTTING_DOWN = b'event: error\ndata: {"error":{"code":"shutting_down",'


@pytest.fixture
def started(serve: Serve) -> Callable[..., ServerProcess]:
    def start(**environment: str) -> ServerProcess:
        return serve(**{"WORKERS": str(WORKERS), **ENVIRONMENT, **environment})

    return start


Start = Callable[..., ServerProcess]


@asynccontextmanager
async def clients(port: int, data: bytes, *, count: int = CONNECTIONS) -> AsyncIterator[list[Client]]:
    """Connect clients and yield them once their responses have begun."""
    connected = await asyncio.gather(*(start_stream(port, data) for _ in range(count)))
    yield connected
    for client in connected:
        client.close()


def clients_by_worker(server: ServerProcess, connected: list[Client]) -> dict[int, list[Client]]:
    """Return the clients of each worker by its pid, matched by the sockets in /proc."""
    pid_of = {
        os.readlink(link): pid
        for pid in server.workers()
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if link.is_symlink()
    }
    inode_of: dict[int, str] = {}
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, here, there, *rest = line.split()
        if int(here.rpartition(":")[2], 16) == server.port:
            inode_of[int(there.rpartition(":")[2], 16)] = rest[6]
    found: dict[int, list[Client]] = {pid: [] for pid in server.workers()}
    for client in connected:
        found[pid_of[f"socket:[{inode_of[client.sock.getsockname()[1]]}]"]].append(client)
    return found


async def wait_exited(pids: set[int], *, within_s: float = PATIENCE_S) -> None:
    """Return once the processes, children or not, have exited."""
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ended, _, _ = await asyncio.to_thread(wait_readable, pidfd, within_s)
        finally:
            os.close(pidfd)
        assert ended, f"{pid} has not exited"


def wait_readable(descriptor: int, within_s: float) -> tuple[list[int], list[int], list[int]]:
    return select.select([descriptor], [], [], within_s)


def run_failing_start(folder: Path, **environment: str) -> tuple[int, str]:
    """Run a server that must fail to start; return its exit status and stderr."""
    run = subprocess.run(
        [sys.executable, "-m", "tokenfall", "serve"],
        cwd=folder,
        env={
            "PATH": os.defpath,
            "PYTHONPATH": os.fspath(SOURCES),
            "PORT": "0",
            "WORKERS": str(WORKERS),
            **ENVIRONMENT,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    return run.returncode, run.stderr


def fork_hook_path(folder: Path, code: str) -> str:
    """Return a PYTHONPATH with a fork hook that runs `code` in every child first."""
    hook = f"import os\ndef hook():\n    {code}\nos.register_at_fork(after_in_child=hook)\n"
    (folder / "sitecustomize.py").write_text(hook, encoding="utf-8")
    return f"{folder}:{SOURCES}"


# Serving


async def test_all_workers_serve_one_port_with_one_greeting(started: Start) -> None:
    server = started()
    assert len(server.workers()) == WORKERS
    async with clients(server.port, request("/health")) as connected:
        assert all(clients_by_worker(server, connected).values())
    assert await metric(server.port, "tokenfall_workers") == WORKERS
    assert await metric(server.port, "tokenfall_resident_bytes") > WORKERS * 8 * 1024**2
    server.signal()
    assert server.wait() == 0
    assert "listens" not in server.remaining_stdout()
    assert server.log().count('"message":"draining') == WORKERS


async def test_metrics_of_all_workers_are_the_exact_sum_in_each_worker(started: Start) -> None:
    server = started()
    name = 'tokenfall_requests_total{route="/api/data",status="200"}'
    async with clients(server.port, request("/api/data"), count=200):
        pass
    async with clients(server.port, request("/health")) as metrics_clients:
        for client in metrics_clients:
            await client.read_response()
        begun_s = time.monotonic()
        for pid, (client, *_) in clients_by_worker(server, metrics_clients).items():
            while f"{name} 200.0\n" not in (text := (await client.fetch(request("/metrics"))).body.decode()):
                assert time.monotonic() < begun_s + PATIENCE_S, f"{pid}: {text}"


# End of a worker


async def test_killed_worker_affects_only_its_clients_and_is_replaced(started: Start) -> None:
    server = started()
    before = server.workers()
    async with clients(server.port, request("/stream-sse?gap=50ms&tokens=40")) as connected:
        by_worker = clients_by_worker(server, connected)
        victim = min(by_worker)
        os.kill(victim, signal.SIGKILL)
        others = [client for pid, theirs in by_worker.items() if pid != victim for client in theirs]
        assert {await client.wait_closed() for client in by_worker[victim]} <= {"closed", "reset"}
        whole = b"".join(frames("/stream-sse", 40))
        responses = await asyncio.gather(*(client.read_response() for client in others))
        assert {response.body for response in responses} == {whole}
    await metric_becomes(server.port, "tokenfall_workers", WORKERS)
    after = server.workers()
    assert (len(after), after & before) == (WORKERS, before - {victim})
    async with clients(server.port, request("/health")) as connected:
        assert all(clients_by_worker(server, connected).values()), "the new worker has no client"
    (output,) = re.findall(r"worker (\d) \(pid (\d+)\) ended with (\w+); restarting in ([\d.]+) s", server.log())
    assert output[1:] == (str(victim), "SIGKILL", "0.1")


@pytest.mark.timeout(60)
async def test_hanging_worker_is_replaced_and_logged(started: Start) -> None:
    server = started()
    server.may_log_errors = True
    before = server.workers()
    victim = min(before)
    os.kill(victim, signal.SIGSTOP)
    await wait_exited({victim}, within_s=30)
    await metric_becomes(server.port, "tokenfall_workers", WORKERS)

    assert server.workers() >= before - {victim}
    (output,) = re.findall(r"worker \d \(pid (\d+)\) had no heartbeat for 10 s: killed", server.log())
    assert output == str(victim)


async def test_counters_of_ended_workers_remain_and_their_gauges_do_not(started: Start) -> None:
    server = started()
    name = 'tokenfall_requests_total{route="/api/data",status="200"}'
    async with clients(server.port, request("/api/data"), count=100):
        await metric_becomes(server.port, name, 100)
        victim = min(server.workers())
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while victim in server.workers() or len(server.workers()) < WORKERS:
                assert await metric_or_none(server.port, name) in {None, 100}
    await metric_becomes(server.port, "tokenfall_workers", WORKERS)
    async with asyncio.timeout(PATIENCE_S):  # workers may still count connections of earlier requests
        while await metric(server.port, "tokenfall_connections") > WORKERS:
            pass
    async with clients(server.port, request("/api/data")):
        await metric_becomes(server.port, name, 100 + CONNECTIONS)


async def metric_or_none(port: int, name: str) -> float | None:
    """Return a metric, None if the worker is killed during the request."""
    try:
        return await metric(port, name)
    except (ConnectionError, EOFError):
        return None


async def test_crashing_worker_is_restarted_with_increasing_delay(started: Start) -> None:
    server = started()
    known = server.workers()
    victim = min(known)
    for _ in range(3):
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while len(now := server.workers() - {victim}) < WORKERS:
                await metric_or_none(server.port, "tokenfall_workers")
        (victim,) = now - known
        known = now
    waits = re.findall(r"worker (\d).*restarting in ([\d.]+) s", server.log())
    assert [wait for _, wait in waits] == ["0.1", "0.2", "0.4"]
    assert len({number for number, _ in waits}) == 1, "the new worker has another number"


def test_supervisor_exits_if_no_worker_can_start(tmp_path: Path) -> None:
    status, output = run_failing_start(tmp_path, PYTHONPATH=fork_hook_path(tmp_path, "os._exit(3)"))

    assert status == 1
    *deaths, last = output.splitlines()
    assert last == f"tokenfall: WORKERS: none of {WORKERS} could start"
    assert {json.loads(line)["message"].partition(";")[0].partition(") ")[2] for line in deaths} == {
        "ended with status 3"
    }
    assert len(deaths) < WORKERS * 3


# The port


@pytest.fixture
def occupied_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_occupied_port_is_refused(tmp_path: Path, occupied_port: int) -> None:
    status, output = run_failing_start(tmp_path, PORT=str(occupied_port))

    assert status == 1
    assert output.startswith(f"tokenfall: HOST, PORT: cannot listen on 127.0.0.1:{occupied_port}: ")
    assert "in use" in output
    assert len(output.splitlines()) == 1


def test_two_servers_do_not_share_a_port_by_mistake(tmp_path: Path, started: Start) -> None:
    status, output = run_failing_start(tmp_path, PORT=str(started().port))

    assert (status, "cannot listen" in output) == (1, True)


# Shutdown


@pytest.mark.parametrize("to_all", [False, True], ids=["to the supervisor", "to the whole group, as systemd does"])
async def test_streams_get_a_shutdown_frame_and_all_workers_end_within_the_drain_timeout(
    started: Start, to_all: bool
) -> None:
    server = started(DRAIN_TIMEOUT="700ms")
    async with clients(server.port, request("/stream-sse?gap=50ms&tokens=1000"), count=20) as connected:
        begun_s = time.monotonic()
        server.signal()
        if to_all:
            for pid in server.workers():
                os.kill(pid, signal.SIGTERM)
        for client in connected:
            body = (await client.read_response()).body
            assert SHUTTING_DOWN in body
            assert b"[DONE]" not in body
        assert time.monotonic() - begun_s >= 0.65, "streams ended before the drain time was over"
        assert server.wait() == 0
        assert time.monotonic() - begun_s < 0.7 + 1.5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
async def test_signal_to_the_process_group_drains_all_workers(started: Start, number: signal.Signals) -> None:
    server = started(DRAIN_TIMEOUT="20s")
    async with clients(server.port, request("/stream-sse?gap=50ms&tokens=20"), count=20) as connected:
        for pid in (server.process.pid, *server.workers()):
            os.kill(pid, number)
        for client in connected:
            assert (await client.read_response()).body == b"".join(frames("/stream-sse", 20))
    assert server.wait() == 0


async def test_unhandled_signals_end_no_process(started: Start) -> None:
    server = started()
    workers = server.workers()
    async with clients(server.port, request("/stream-sse?gap=50ms&tokens=20"), count=20) as connected:
        for pid in (server.process.pid, *workers):
            for number in (signal.SIGUSR1, signal.SIGUSR2):
                os.kill(pid, number)
        for client in connected:
            assert (await client.read_response()).body == b"".join(frames("/stream-sse", 20))
    assert server.workers() == workers


async def test_second_signal_ends_all_workers_at_once(started: Start) -> None:
    server = started(DRAIN_TIMEOUT="20s")
    workers = server.workers()
    async with clients(server.port, request("/stream-loop?gap=50ms")) as connected:
        begun_s = time.monotonic()
        server.signal()
        async with asyncio.timeout(PATIENCE_S):
            while server.log().count('"message":"draining') < WORKERS:
                await connected[0].receive()
        server.signal(signal.SIGINT)
        server.expected_status = server.wait()
        assert server.expected_status == 128 + signal.SIGINT
        assert time.monotonic() - begun_s < 5
    await wait_exited(workers)


async def test_worker_that_does_not_end_is_killed_with_an_error_status(started: Start) -> None:
    server = started(DRAIN_TIMEOUT="100ms")
    stopped = min(server.workers())
    os.kill(stopped, signal.SIGSTOP)
    server.signal()
    server.expected_status = server.wait()
    assert server.expected_status == 1
    assert f"(pid {stopped}) ended with SIGKILL" in server.log()
    await wait_exited({stopped})


async def test_workers_drain_and_end_when_their_supervisor_is_killed(started: Start) -> None:
    server = started(DRAIN_TIMEOUT="700ms")
    workers = server.workers()
    async with clients(server.port, request("/stream-sse?gap=50ms&tokens=1000"), count=20) as connected:
        server.signal(signal.SIGKILL)
        server.expected_status = server.wait()
        assert server.expected_status == -signal.SIGKILL
        for client in connected:
            assert SHUTTING_DOWN in (await client.read_response()).body
    await wait_exited(workers)


def test_signal_before_a_worker_handles_it_is_not_lost(tmp_path: Path) -> None:
    here, go = (os.open(fifo(tmp_path / name), os.O_RDWR) for name in ("here", "go"))
    code = "open('here', 'wb', 0).write(b'.'); open('go', 'rb', 0).read(1)"
    process = subprocess.Popen(
        [sys.executable, "-m", "tokenfall", "serve"],
        cwd=tmp_path,
        env={"PORT": "0", "WORKERS": "2", "PYTHONPATH": fork_hook_path(tmp_path, code), **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(2):
            os.read(here, 1)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        process.terminate()
        until_s = time.monotonic() + PATIENCE_S
        while not all(is_pending(pid, signal.SIGTERM) for pid in workers):
            assert time.monotonic() < until_s
        os.write(go, b"go")
        output, log = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
        os.close(here)
        os.close(go)
    assert (len(workers), process.returncode) == (2, 0), log
    assert "listens" not in output
    assert log.count('"message":"stopped"') == 2


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def is_pending(pid: str, number: signal.Signals) -> bool:
    """Return whether the signal is pending for a process that blocks it."""
    (pending,) = re.findall(r"^ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE)
    return bool(int(pending, 16) >> (number - 1) & 1)
