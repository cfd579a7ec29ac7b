"""The npm clients `openai` and `ai` against real servers: simulated, and relayed by one Tokenfall to another.

A case is an exported function of a `.mjs` file here, which `run.mjs` calls. Its argument is `{url, key, model,
servers}`: the base URL, the API key, the model, and the root URLs of all servers that take part.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.end_to_end.conftest import check_clean_exit
from tests.end_to_end.in_process import eventually
from tests.end_to_end.process import ServerProcess
from tests.end_to_end.upstream import DONE, Exchange, delta, event, scripted

HERE = Path(__file__).parent
KEY = "npm-key"

WAYS = ("simulated", "relayed")
_CASE = re.compile(r"^export async function (\w+)", re.MULTILINE)


def cases(file: str) -> list[str]:
    return _CASE.findall((HERE / file).read_text(encoding="utf-8"))


class Node:
    """A node process that runs cases one after the other; it is restarted after a case that ended it."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._process: subprocess.Popen[str] | None = None

    def run(self, file: str, case: str, **at: Any) -> None:
        """Run a case; if it fails, the test fails with its message."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"file": file, "name": case, "at": at}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self.close()
            pytest.fail(f"node ended\n{self._log_path.read_text(encoding='utf-8')}")
        failure = json.loads(line)
        assert failure is None, failure

    def _start(self) -> "subprocess.Popen[str]":
        node = shutil.which("node")
        assert node, "node is missing: scripts/system-packages test"
        assert (HERE / "node_modules").is_dir(), "make test installs the clients"
        with self._log_path.open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                [node, os.fspath(HERE / "run.mjs")],
                env={"PATH": os.defpath},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node") / "stderr")
    yield node
    node.close()


def root(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.port}"


@dataclass(frozen=True)
class Pair:
    """A simulator, and a relay to it."""

    simulating: ServerProcess
    relaying: ServerProcess

    def at(self, way: str) -> dict[str, Any]:
        """The argument of a case."""
        relayed = way == "relayed"
        servers = [self.simulating, self.relaying] if relayed else [self.simulating]
        return {
            "url": f"{root(servers[-1])}/v1",
            "key": KEY,
            "model": "up-1" if relayed else "sim",
            "servers": [root(server) for server in servers],
        }


Start = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers that require a key. Each must exit cleanly."""
    started: list[ServerProcess] = []

    def start_one(**environment: str) -> ServerProcess:
        environment = {"API_KEY": KEY, "UPSTREAM_API_KEY": KEY, **environment}
        started.append(ServerProcess(tmp_path_factory.mktemp("server"), environment=environment))
        return started[-1]

    yield start_one
    for server in reversed(started):
        check_clean_exit(server)


def _pair(start: Start, sim: str) -> Pair:
    simulating = start(SIM=sim)
    return Pair(simulating, start(UPSTREAM_URL=f"{root(simulating)}/v1"))


@pytest.fixture(scope="session")
def pair(start: Start) -> Pair:
    """Servers with short gaps."""
    return _pair(start, "gap=1ms")


@pytest.fixture(scope="session")
def endless(start: Start) -> Pair:
    """Servers with practically endless responses."""
    return _pair(start, "gap=2ms,tokens=1000000")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", cases("openai_client.mjs"))
def test_openai(node: Node, pair: Pair, case: str, way: str) -> None:
    node.run("openai_client.mjs", case, **pair.at(way))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("provider", ["compatible", "anthropic"])
@pytest.mark.parametrize("case", cases("ai_sdk.mjs"))
def test_ai(node: Node, pair: Pair, case: str, provider: str, way: str) -> None:
    node.run("ai_sdk.mjs", case, provider=provider, **pair.at(way))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", cases("disconnect.mjs"))
def test_disconnect_ends_the_stream_in_client_and_server(node: Node, endless: Pair, case: str, way: str) -> None:
    node.run("disconnect.mjs", case, **endless.at(way))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", cases("ai_compatible.mjs"))
def test_ai_compatible(node: Node, pair: Pair, case: str, way: str) -> None:
    node.run("ai_compatible.mjs", case, provider="compatible", **pair.at(way))


@pytest.mark.parametrize("case", cases("throttled.mjs"))
def test_refused_request_is_retried_after_retry_after(node: Node, pair: Pair, start: Start, case: str) -> None:
    url = f"{root(pair.simulating)}/v1"
    throttled = start(UPSTREAM_URL=url, RATE_LIMIT_RPS="1", RATE_LIMIT_BURST="1")
    node.run("throttled.mjs", case, url=f"{root(throttled)}/v1", key=KEY, model="up-1")


async def _closes(exchange: Exchange) -> None:
    exchange.writer.close()


async def _resets(exchange: Exchange) -> None:
    exchange.reset()


async def _ends_without_done(exchange: Exchange) -> None:
    await exchange.send_last_chunk()


async def _sends_error(exchange: Exchange) -> None:
    await exchange.send_chunks(event(b'{"error":{"message":"out of memory","type":"server_error","code":"oom"}}'))
    await exchange.send_last_chunk()


async def _sends_error_and_done(exchange: Exchange) -> None:
    await exchange.send_chunks(event(b'{"error":"out of memory"}'), DONE)
    await exchange.send_last_chunk()


async def _sends_invalid_json(exchange: Exchange) -> None:
    await exchange.send_chunks(event(b'{"choices":'), DONE)
    await exchange.send_last_chunk()


BREAKS: dict[str, tuple[Callable[[Exchange], Awaitable[None]], str | None]] = {
    "closes": (_closes, "upstream_reset"),
    "resets": (_resets, "upstream_reset"),
    "ends-without-done": (_ends_without_done, "upstream_truncated"),
    "sends-error": (_sends_error, "upstream_stream_error"),
    "sends-error-and-done": (_sends_error_and_done, "upstream_stream_error"),
    "sends-invalid-json": (_sends_invalid_json, None),  # the relay passes this dialect through without decoding it
}
"""By model name: the fault, and the error code that clients of the upstream's own dialect receive."""


async def _break(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(delta("Hel"), delta("lo"))
    how, _ = BREAKS[exchange.body["model"]]
    await how(exchange)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def breaking(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """A relay to an upstream whose fault is selected by the model name."""
    async with scripted() as upstream:
        upstream.script = _break
        environment = {"API_KEY": KEY, "UPSTREAM_URL": upstream.url}
        server = ServerProcess(tmp_path_factory.mktemp("breaking"), environment=environment)
        yield server
        await asyncio.to_thread(check_clean_exit, server)
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("model", BREAKS)
@pytest.mark.parametrize("case", cases("broken.mjs"))
async def test_broken_stream_raises(node: Node, breaking: ServerProcess, case: str, model: str) -> None:
    _, code = BREAKS[model]
    received = {} if code is None else {"code": code}
    await asyncio.to_thread(node.run, "broken.mjs", case, url=f"{root(breaking)}/v1", key=KEY, model=model, **received)
