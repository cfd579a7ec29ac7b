"""Servers for the tests of this folder."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.end_to_end.process import ServerProcess

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Serve = Callable[..., ServerProcess]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """A server in the test's own loop is tried on both loops; who talks to a process needs only one."""
    if item.get_closest_marker("both_loops"):
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_loops: run on uvloop and on asyncio's own loop")


def ended_well(server: ServerProcess) -> None:
    """End a server and see that it ended as it should and had nothing to complain of."""
    status = server.close()
    log = server.log()
    assert status == server.expected_status, f"exit status {status}\n{log}"
    assert "Traceback" not in log, log
    assert server.may_complain or '"level":"error"' not in log, log


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server with default settings for all tests that leave it as they found it."""
    server = ServerProcess(tmp_path_factory.mktemp("shared"), environment={})
    yield server
    ended_well(server)


@pytest.fixture
def port(shared: ServerProcess) -> int:
    """The shared server's port."""
    return shared.port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers of this test's own: `serve(DRAIN_TIMEOUT="1s")`. Each must end well."""
    started: list[ServerProcess] = []

    def start(*, descriptors: int | None = None, **environment: Any) -> ServerProcess:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        server = ServerProcess(folder, environment=environment, descriptors=descriptors)
        started.append(server)
        return server

    yield start
    for server in started:
        ended_well(server)
