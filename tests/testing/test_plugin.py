"""The pytest fixtures, used in a separate pytest run as in a user's project."""

import subprocess
import sys
from pathlib import Path

import pytest

import tokenfall.testing

pytest_plugins = ["pytester"]

HEAD = """
import asyncio, os, threading
import httpx
import pytest

def status(server):
    return httpx.get(f"{server.url}/stream-sse?tokens=1").status_code
"""
WATCHED = """
import os, threading
import pytest
from tokenfall.testing import serve

@pytest.fixture(scope="session", autouse=True)
def nothing_is_left():
    with serve() as server:  # libuv opens descriptors of its own at the first loop and keeps them
        server.set("seed=1")
    before = len(os.listdir("/proc/self/fd")), set(threading.enumerate())
    yield
    left = len(os.listdir("/proc/self/fd")) - before[0], set(threading.enumerate()) - before[1]
    with open(os.environ["LEFT"], "a") as file:
        file.write(repr(left))
"""
"""A conftest whose first fixture is torn down last and records leaks."""


class Project:
    """A user's test project, with only our plugin and those that the test names."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pytester = pytester
        self.left = pytester.path / "left"
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        monkeypatch.setenv("LEFT", str(self.left))
        pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers")
        pytester.makeconftest(WATCHED)

    def run(self, tests: str, *words: str) -> pytest.RunResult:
        self._pytester.makepyfile(test_it=HEAD + tests)
        return self._pytester.runpytest_subprocess("-p", "tokenfall.testing.plugin", *words)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(pytester, monkeypatch)


def test_plain_and_async_tests_have_a_server(project: Project) -> None:
    run = project.run("""
def test_plain(tokenfall_server):
    assert status(tokenfall_server) == 200

def test_async(tokenfall_server):
    async def ask():
        async with httpx.AsyncClient() as client:
            tokenfall_server.journal()
            await client.get(f"{tokenfall_server.url}/stream-sse?tokens=1")
            return await asyncio.to_thread(tokenfall_server.wait_for_requests)
    assert len(asyncio.run(ask())) == 1

def test_factory(tokenfall_server_factory, tokenfall_server):
    one, other = tokenfall_server_factory(sim="status=418"), tokenfall_server_factory(process=True)
    assert (status(one), status(other), status(tokenfall_server)) == (418, 200, 200)
    assert other.pid and len({one.port, other.port, tokenfall_server.port}) == 3
""")
    run.assert_outcomes(passed=3)
    assert project.left.read_text(encoding="utf-8") == "(0, set())"


def test_marker_sets_its_settings(project: Project) -> None:
    run = project.run("""
@pytest.mark.tokenfall(sim="ttft=5ms", model="never-seen")
class TestNested:
    @pytest.mark.tokenfall(sim="seed=3")
    def test_the_nearest_wins(self, tokenfall_server):
        assert tokenfall_server.sim == "gap=0.001s,seed=3"

shared = []

@pytest.mark.tokenfall(sim="ttft=5ms,gap=3ms")
def test_sim_is_set_on_the_shared_server_and_survives_a_reset(tokenfall_server):
    shared.append(tokenfall_server.port)
    tokenfall_server.set("seed=3")
    tokenfall_server.reset()
    assert tokenfall_server.sim == "gap=0.003s,ttft=0.005s"

def test_settings_are_default_without_the_marker(tokenfall_server):
    assert [tokenfall_server.port] == shared
    assert tokenfall_server.sim == "gap=0.001s"

@pytest.mark.tokenfall(api_key="right")
def test_another_setting_has_a_server_of_its_own(tokenfall_server):
    assert [tokenfall_server.port] != shared
    assert status(tokenfall_server) == 401

@pytest.mark.tokenfall(sim="profile=groq-70b")
def test_so_has_a_profile_whose_gaps_count(tokenfall_server):
    assert [tokenfall_server.port] != shared
    assert "gap=0.001s" not in tokenfall_server.sim

@pytest.mark.tokenfall(process=True)
def test_so_has_a_process(tokenfall_server):
    assert tokenfall_server.pid

@pytest.mark.tokenfall(nonsense=True)
def test_unknown_setting_is_an_error(tokenfall_server):
    pass
""")
    run.assert_outcomes(passed=6, errors=1)
    run.stdout.fnmatch_lines(["*InvalidSetting: nonsense: no such setting*"])
    assert project.left.read_text(encoding="utf-8") == "(0, set())"


def test_shared_server_is_reset_between_tests(project: Project) -> None:
    run = project.run("""
def test_leaves_everything(tokenfall_server):
    server = tokenfall_server
    server.set("status=418x1,fault=reset@0%0,seed=9")
    assert status(server) == 418
    server.journal()
    server.gate("door").open()
    assert status(server) == 200
    body = {"messages": [{"role": "user", "content": "Hello"}], "stream": False, "max_tokens": 1}
    assert httpx.post(f"{server.url}/chat", json=body).status_code == 200

def test_finds_nothing(tokenfall_server):
    server = tokenfall_server
    assert server.sim == "gap=0.001s"
    assert (server.gate("door").passed, server.streams_in_flight) == (0, 0)
    assert httpx.get(f"{server.url}/sim/gates").json() == {"gates": []}
    assert httpx.get(f"{server.url}/sim/requests").json() == {"journal": False, "requests": []}
    assert httpx.get(f"{server.url}/conversations").json() == []
    assert server.metric("tokenfall_tokens_total") == 0
    server.set("status=418x1,fault=reset@0%0,seed=9")
    assert status(server) == 418
""")
    run.assert_outcomes(passed=2)


def test_server_of_a_stream_that_outlives_its_test_is_replaced(project: Project) -> None:
    run = project.run("""
kept, ports = httpx.Client(), []

def test_leaves_a_stream(tokenfall_server):
    ports.append(tokenfall_server.port)
    kept.send(kept.build_request("GET", f"{tokenfall_server.url}/stream-loop"), stream=True)
    assert tokenfall_server.streams_in_flight == 1

def test_has_none(tokenfall_server):
    kept.close()
    assert tokenfall_server.streams_in_flight == 0
    assert [tokenfall_server.port] != ports
""")
    run.assert_outcomes(passed=2)
    assert project.left.read_text(encoding="utf-8") == "(0, set())"


def test_each_xdist_worker_has_its_own_server(project: Project, tmp_path: Path) -> None:
    run = project.run(
        f"""
@pytest.mark.parametrize("number", range(12))
def test_alone(tokenfall_server, number, worker_id):
    with open({str(tmp_path)!r} + f"/{{worker_id}}-{{tokenfall_server.port}}", "a"):
        pass
    tokenfall_server.journal()
    tokenfall_server.set(f"seed={{number}}")
    for _ in range(5):
        assert status(tokenfall_server) == 200
    assert f"seed={{number}}" in tokenfall_server.sim
    assert len(tokenfall_server.requests()) == 5
""",
        "-p",
        "xdist",
        "-n",
        "2",
    )
    run.assert_outcomes(passed=12)
    seen = sorted(path.name.split("-") for path in tmp_path.iterdir() if path.name.startswith("gw"))
    assert [worker for worker, _ in seen] == ["gw0", "gw1"]
    assert len({port for _, port in seen}) == 2
    assert project.left.read_text(encoding="utf-8") == "(0, set())" * 2


def test_killed_server_fails_its_test_and_the_next_test_has_a_new_one(project: Project) -> None:
    run = project.run("""
import signal

@pytest.mark.tokenfall(process=True)
def test_kills_it(tokenfall_server):
    os.kill(tokenfall_server.pid, signal.SIGKILL)
    os.waitid(os.P_PID, tokenfall_server.pid, os.WEXITED | os.WNOWAIT)
    tokenfall_server.set("seed=1")

@pytest.mark.tokenfall(process=True)
def test_has_another(tokenfall_server):
    assert status(tokenfall_server) == 200
""")
    run.assert_outcomes(passed=1, failed=1)
    run.stdout.fnmatch_lines(["*ServerGone: the Tokenfall server is not running: *killed by signal 9*"])


def test_installed_package_provides_the_fixtures(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "")
    run = pytester.runpytest_subprocess("--fixtures", "--markers")
    assert "tokenfall(process=False" in run.stdout.str()


LIGHT = """
import sys
import pytest
before = set(sys.modules)
import tokenfall.testing.plugin
print(*sorted(set(sys.modules) - before))
"""


def modules_of(code: str) -> set[str]:
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_unused_plugin_imports_almost_nothing() -> None:
    loaded = modules_of(LIGHT)
    assert "tokenfall.testing.plugin" in loaded
    assert {name for name in loaded if name.startswith("tokenfall.")} == {
        "tokenfall.testing",
        "tokenfall.testing.plugin",
    }
    assert loaded.isdisjoint({"asyncio", "http.client", "json", "msgspec", "ssl"})


def test_package_works_without_pytest() -> None:
    used = "from tokenfall.testing import serve\nwith serve() as server: server.set('seed=1')\nimport sys\n"
    assert "pytest" not in modules_of(used + "print(*sys.modules)")


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tokenfall.testing.nonsense
    assert all(getattr(tokenfall.testing, name) for name in tokenfall.testing.__all__)
