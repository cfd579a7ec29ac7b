"""Fixtures that start servers."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tokenfall.reactor.poller import available

from tests.doubles.loops import TestLoop
from tests.end_to_end.preloaded import Preloaded
from tests.end_to_end.process import ServerProcess

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Serve = Callable[..., ServerProcess]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Run tests with the `every_poller` marker on each poller, all others on the first."""
    names = available() if item.get_closest_marker("every_poller") else available()[:1]
    return {name: partial(TestLoop, name) for name in names}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_poller: run on each poller of the platform")


def check_clean_exit(server: ServerProcess) -> None:
    """Stop a server and check its exit status and that its log has no errors."""
    status = server.close()
    log = server.log()
    assert status == server.expected_status, f"exit status {status}\n{log}"
    assert server.may_log_errors or "Traceback" not in log, log
    assert server.may_log_errors or '"level":"error"' not in log, log


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A session-wide server with default settings, for tests that do not change its state."""
    server = ServerProcess(tmp_path_factory.mktemp("shared"), environment={})
    yield server
    check_clean_exit(server)


@pytest.fixture
def port(shared: ServerProcess) -> int:
    """The shared server's port."""
    return shared.port


def servers(folder: Path, preloaded: Preloaded | None = None) -> Iterator[Serve]:
    """Yield a function that starts servers in `folder`; at the end, stop and check each."""
    started: list[ServerProcess] = []

    def start(*, descriptors: int | None = None, program: Path | None = None, **environment: Any) -> ServerProcess:
        own = folder / str(len(started))
        own.mkdir()
        server = ServerProcess(
            own, environment=environment, descriptors=descriptors, program=program, preloaded=preloaded
        )
        started.append(server)
        return server

    yield start
    for server in started:
        check_clean_exit(server)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers for one test, such as `serve(DRAIN_TIMEOUT="1s")`; each must exit cleanly."""
    yield from servers(tmp_path)
