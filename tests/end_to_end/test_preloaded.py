"""Servers forked from a preloaded process behave like servers started by the command."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenfall.api.page import WEB

from tests.end_to_end.client import fetch, request
from tests.end_to_end.preloaded import Preloaded
from tests.end_to_end.process import ServerProcess, preload


@pytest.fixture(scope="module")
def preloaded() -> Iterator[Preloaded]:
    parent = preload()
    yield parent
    parent.close()


async def test_forked_servers_differ_in_environment_folder_and_log(tmp_path: Path, preloaded: Preloaded) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    (folders[1] / ".env").write_text("SIM=tokens=22\n", encoding="utf-8")
    first = ServerProcess(folders[0], environment={"SIM": "tokens=11"}, preloaded=preloaded)
    second = ServerProcess(folders[1], environment={"LOG_LEVEL": "warning"}, preloaded=preloaded)
    try:
        for server, sim in ((first, b"tokens=11"), (second, b"tokens=22")):
            assert sim in (await fetch(server.port, request("/sim"))).body
            own = {os.readlink(f"/proc/{server.process.pid}/fd/{fd}") for fd in (0, 1, 2)}
            assert own >= {os.devnull, str(server.log_path)}
    finally:
        assert [first.close(), second.close()] == [0, 0]
    assert '"message":"stopped"' in first.log()
    assert second.log() == ""


def test_forked_server_has_the_exit_status_of_its_signal(tmp_path: Path, preloaded: Preloaded) -> None:
    server = ServerProcess(tmp_path, environment={}, preloaded=preloaded)
    assert server.process.poll() is None
    server.signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    assert server.process.poll() == -signal.SIGKILL
    server.signal(signal.SIGTERM)  # unread, as with Popen
    assert server.close() == -signal.SIGKILL


def test_forked_server_that_cannot_start_shows_its_error(tmp_path: Path, preloaded: Preloaded) -> None:
    with pytest.raises(AssertionError, match="PORT"):
        ServerProcess(tmp_path, environment={"PORT": "no number"}, preloaded=preloaded)


def test_forked_server_may_fork_workers(tmp_path: Path, preloaded: Preloaded) -> None:
    server = ServerProcess(
        tmp_path, environment={"WORKERS": "2", "HISTORY_URL": "sqlite:///chat.db"}, preloaded=preloaded
    )
    assert len(server.workers()) == 2
    assert server.close() == 0


async def test_forked_server_serves_the_pages_of_the_chosen_folder(tmp_path: Path, preloaded: Preloaded) -> None:
    pages = tmp_path / "pages"
    shutil.copytree(WEB, pages)
    (pages / "index.html").write_text("another page", encoding="utf-8")
    bodies = []
    for number, web in enumerate((pages, None)):
        (tmp_path / str(number)).mkdir()
        preloaded.web = web
        server = ServerProcess(tmp_path / str(number), environment={}, preloaded=preloaded)
        bodies.append((await fetch(server.port, request("/web"))).body)
        assert server.close() == 0
    assert bodies[0] == b"another page"
    assert b"<title>Tokenfall</title>" in bodies[1]
