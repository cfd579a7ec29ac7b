"""The built wheel runs by uvx and by pipx."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
GREETING = "http://127.0.0.1:"
BUILD_S = 120.0

pytestmark = pytest.mark.timeout(2 * BUILD_S)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables without Tokenfall settings, with own cache folders and the versions of constraints.txt."""
    home = tmp_path_factory.mktemp("home")
    constraints = str(ROOT / "constraints.txt")
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_", "LANG"))}
    return {
        **kept,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", str(home)),  # pip's configuration may name an index there
        "PIPX_HOME": str(home / "pipx"),
        "PIP_CONSTRAINT": constraints,
        "UV_CONSTRAINT": constraints,
        "UV_TOOL_DIR": str(home / "uv"),
        "PORT": "0",
    }


@pytest.fixture(scope="module")
def wheel(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, env=environment, check=True, timeout=BUILD_S)
    (built,) = folder.glob("*.whl")
    return built


@contextmanager
def running(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[int]:
    """Start a server outside the checkout and yield its port; it must exit with status 0."""
    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            greeting = next(line for line in process.stdout if GREETING in line)
            yield int(greeting.partition(GREETING)[2].partition("/")[0].strip())
        finally:
            process.terminate()
        process.stdout.read()
        assert process.wait(30) == 0


def fetch(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200
    body = response.read()
    connection.close()
    return body


@pytest.mark.parametrize("runner", ["uvx", "pipx"])
def test_wheel_serves_streams_and_the_page(
    runner: str, wheel: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    command = {
        "uvx": ["uvx", "--quiet", "--python", sys.executable, "--from", str(wheel), "tokenfall", "serve"],
        "pipx": ["pipx", "run", "--quiet", "--python", sys.executable, "--spec", str(wheel), "tokenfall", "serve"],
    }[runner]

    with running(command, environment, tmp_path) as port:
        assert b"data: " in fetch(port, "/stream-sse?tokens=1&gap=0ms")
        assert b"<html" in fetch(port, "/web")
