"""compose.yaml run by podman-compose: the limited simulator, three replicas with one Redis, and the team server."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from tests.containers.conftest import ROOT, run
from tests.containers.podman import COMMAND_S, Podman
from tests.end_to_end.chatting import DONE, chat, error_of, response_text
from tests.end_to_end.client import Client, fetch, request

PROJECT = "tokenfall-test"
SIMULATOR_PORT, GATEWAY_PORT, TEAM_PORT = 8080, 8090, 8090
"""As in compose.yaml."""
REPLICAS = 3
NETWORK_PROGRAMS = (Path("/usr/lib/podman/netavark"), Path("/usr/lib/podman/aardvark-dns"))
STARTS_WITHIN_S = 30.0
METRICS = """
import _socket
server = _socket.socket()
server.connect(("127.0.0.1", 8080))
server.sendall(b"GET /metrics HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
while piece := server.recv(65536):
    print(piece.decode(), end="")
"""


class Compose:
    """podman-compose with this project's file."""

    def __init__(self, podman: Podman) -> None:
        self._podman = podman
        self._command = [sys.executable, "-m", "podman_compose", "-p", PROJECT]
        self._command += ["--profile", "scaled", "--profile", "team"]

    def __call__(self, *words: str) -> None:
        # Do not inherit the machine's environment.
        kept = {name: text for name, text in self._podman.environment.items() if not name.endswith("_API_KEY")}
        done = subprocess.run(
            [*self._command, *words], cwd=ROOT, env=kept, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"

    @contextmanager
    def up(self, service: str) -> Iterator[None]:
        self("down", "--volumes", "--timeout", "1")
        try:
            self("up", "--detach", "--no-build", service)
            yield
        finally:
            self("down", "--volumes", "--timeout", "1")


@pytest.fixture(scope="module")
def compose(podman: Podman, simulator: str, full: str) -> Compose:
    missing = [str(path) for path in NETWORK_PROGRAMS if not path.exists()]
    missing += [name for name in ("iptables", "redis-server", "nginx") if not shutil.which(name)]
    if missing:
        pytest.skip(f"containers with names need {', '.join(missing)}")
    for name, image in (("redis", "redis:7-alpine"), ("nginx", "nginx:stable-alpine")):
        if podman.tried("image", "exists", f"docker.io/library/{image}").returncode:
            run(podman, "scripts/base-images", name)
    return Compose(podman)


@pytest.fixture(scope="module")
def gateway(podman: Podman, compose: Compose) -> Iterator[int]:
    """The port of nginx in front of three listening replicas; nginx skips others for 10 s."""
    with compose.up("gateway"):
        until_s = monotonic() + STARTS_WITHIN_S
        for name in replicas():
            while podman.tried("exec", name, "/usr/bin/python3.11", "-c", METRICS).returncode:
                assert monotonic() < until_s, f"{name} does not listen"
        yield GATEWAY_PORT


async def wait_ready(port: int) -> None:
    """Request `/readyz` until a server behind `port` is ready. Raises TimeoutError."""
    async with asyncio.timeout(STARTS_WITHIN_S):
        while True:
            try:
                if (await fetch(port, request("/readyz"))).status == 200:
                    return
            except (OSError, EOFError):  # the port is open before the server listens
                pass


def replicas() -> list[str]:
    return [f"{PROJECT}_chat_{number}" for number in range(1, REPLICAS + 1)]


def metric(podman: Podman, container: str, name: str) -> float:
    """Return a metric of a container whose port is not published."""
    text = podman("exec", container, "/usr/bin/python3.11", "-c", METRICS)
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def streaming_replica(podman: Podman) -> str:
    """Return the replica with a running stream."""
    (found,) = [name for name in replicas() if metric(podman, name, "tokenfall_streams_in_flight") > 0]
    return found


async def test_compose_simulator_serves_within_its_resource_limits(podman: Podman, compose: Compose) -> None:
    with compose.up("simulator"):
        await wait_ready(SIMULATOR_PORT)
        stream = await fetch(SIMULATOR_PORT, request("/stream-sse?gap=1ms&tokens=3"))
        (host,) = json.loads(podman("inspect", f"{PROJECT}_simulator_1"))

    assert stream.status == 200
    assert (host["HostConfig"]["Memory"], host["HostConfig"]["NanoCpus"]) == (20 * 1024**2, 100_000_000)
    assert host["HostConfig"]["ReadonlyRootfs"]
    assert host["EffectiveCaps"] in ([], None)


async def test_replaced_container_keeps_the_history(compose: Compose) -> None:
    with compose.up("team"):
        await wait_ready(TEAM_PORT)
        assert (await fetch(TEAM_PORT, chat("Hello", stream=False))).status == 200
        compose("up", "--detach", "--no-build", "--force-recreate", "team")
        await wait_ready(TEAM_PORT)
        kept = json.loads((await fetch(TEAM_PORT, request("/history"))).body)

    assert [message["role"] for message in kept] == ["user", "assistant"]
    assert kept[0]["content"] == "Hello"


async def test_three_replicas_serve_behind_nginx(podman: Podman, gateway: int) -> None:
    await wait_ready(gateway)
    for _ in range(3 * REPLICAS):
        assert (await fetch(gateway, chat("Hello", stream=False))).status == 200

    requests = 'tokenfall_requests_total{route="/chat",status="200"}'
    assert all(metric(podman, name, requests) > 0 for name in replicas())


async def test_turn_can_be_followed_to_its_end_at_another_replica(gateway: int) -> None:
    await wait_ready(gateway)
    async with await Client.connect(gateway) as client:
        await client.send(chat("Hello", model="sim:gap=30ms,tokens=40", on_disconnect="finish", conversation="resumed"))
        head = await client.head()
        first = await client.chunk()
    turn = head.headers["x-turn-id"]

    resumed = [await fetch(gateway, request(f"/chat/turns/{turn}", Last_Event_ID="0")) for _ in range(REPLICAS)]

    assert response_text(first)
    for response in resumed:
        assert response.status == 200
        assert response.body.endswith(DONE)
        assert response_text(response.body) == response_text(resumed[0].body)
        assert response_text(response.body).startswith(response_text(first).strip())


async def test_turn_of_a_killed_replica_is_lost_with_its_text(podman: Podman, gateway: int) -> None:
    await wait_ready(gateway)
    async with await Client.connect(gateway) as client:
        await client.send(chat("Hello", model="sim:gap=50ms,tokens=100000", conversation="killed"))
        head = await client.head()
        seen = b""
        while response_text(seen).count(" ") < 10:
            seen += await client.chunk()
        killed = streaming_replica(podman)
        podman("kill", "--signal", "KILL", killed)
        assert await client.wait_closed() in ("closed", "reset")

    rest = await fetch(gateway, request(f"/chat/turns/{head.headers['x-turn-id']}", Last_Event_ID="0"))

    assert rest.status == 200
    assert error_of(rest.body)["code"] == "turn_lost"
    assert response_text(rest.body).startswith(response_text(seen)[:20])
    assert (await fetch(gateway, chat("Again", stream=False))).status == 200
