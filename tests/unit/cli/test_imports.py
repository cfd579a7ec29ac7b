"""Modules that the server imports; each case runs the command in its own process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

BARE = {
    "abc", "builtins", "codecs", "encodings", "genericpath", "io", "marshal", "os", "posix", "posixpath", "pwd", "site",
    "stat", "sys", "zipimport",
}  # fmt: skip
"""Modules that the interpreter loads at start-up."""
if sys.version_info >= (3, 13):
    BARE.add("linecache")  # for the source of `python -c`

STANDARD = {"__future__", "bisect", "gc", "heapq", "itertools", "math", "resource", "select", "time"}
"""Standard library modules that the simulator uses. Each is a C module or a few kilobytes; `bisect`, `heapq` and
`resource` serve metrics, the timer wheel and the descriptor limit."""

FORBIDDEN = {
    "argparse", "asyncio", "collections", "contextlib", "datetime", "decimal", "enum", "functools", "hashlib", "http",
    "httptools", "inspect", "json", "logging", "msgspec", "prometheus_client", "random", "re", "redis", "socket",
    "sqlite3", "ssl", "threading", "traceback", "types", "typing", "urllib", "uuid", "aiohappyeyeballs",
}  # fmt: skip
"""Modules that an idle server must not load; each takes 0.1 to 10 MiB."""

SERVE = """
import os, sys
from tokenfall.cli import main
from tokenfall.reactor.loop import Reactor
stop = Reactor.stop
def report(reactor):
    threading = sys.modules.get("threading")
    astray = threading is not None and threading.main_thread() is not threading.current_thread()
    with open(os.environ["REPORT"], "w") as file:
        file.write("\\n".join([*sys.modules, *["ASTRAY"] * astray]))
    stop(reactor)
Reactor.stop = report
sys.exit(main(["serve", "--log-level", "warning"]))
"""
"""The command; it reports the loaded modules when it stops, and `ASTRAY` if `threading` takes another thread for the
main one."""


@contextmanager
def running_server(folder: Path, **environment: str) -> Iterator[tuple[str, "Loaded"]]:
    """A server's address and the modules loaded when it has stopped."""
    report = folder / "modules"
    inherited = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=folder,
        env={**inherited, "PORT": "0", "REPORT": str(report), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    loaded = Loaded()
    with process, process.stdout:
        try:
            yield process.stdout.readline().split()[-1], loaded
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
    assert process.returncode == 0
    loaded.modules = set(report.read_text().split())


class Loaded:
    """Module names, available once the server has stopped."""

    def __init__(self) -> None:
        self.modules: set[str] = set()

    @property
    def forbidden(self) -> set[str]:
        """Modules of `FORBIDDEN` that were loaded."""
        return self.modules & FORBIDDEN


def get(address: str, path: str, *, body: bytes | None = None) -> bytes:
    host, _, port = address.removeprefix("http://").partition(":")
    connection = HTTPConnection(host, int(port), timeout=20)
    with closing(connection):
        connection.request("GET" if body is None else "POST", path, body)
        return connection.getresponse().read()


def test_idle_server_imports_no_library(tmp_path: Path) -> None:
    with running_server(tmp_path) as (_, loaded):
        pass

    assert loaded.forbidden == set()
    standard = {name for name in loaded.modules & sys.stdlib_module_names if not name.startswith("_")}
    assert standard - BARE - STANDARD <= {"__main__", "sitecustomize"}


def test_plain_streams_data_and_probes_import_no_library(tmp_path: Path) -> None:
    with running_server(tmp_path) as (address, loaded):
        for path in (
            "/stream-sse?gap=1us",
            "/stream-ndjson?gap=1us&tokens=3",
            "/stream-loop?gap=1us&tokens=3",
            "/stream-sse?gap=1us&tokens=3&fault=stall@1:1ms",
            "/api/data",
            "/health",
            "/livez",
            "/readyz",
            "/version",
        ):
            get(address, path)

    assert loaded.forbidden <= {"random", "types", "functools", "hashlib", "collections"}, "faults need `random`"


CHAT = b'{"model":"sim:gap=1us,tokens=3","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}'


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat", "/openai/v1/chat/completions"])
def test_provider_stream_does_not_import_asyncio(tmp_path: Path, path: str) -> None:
    with running_server(tmp_path) as (address, loaded):
        assert get(address, path, body=CHAT)

    assert loaded.forbidden & {"asyncio", "logging", "ssl", "threading", "sqlite3", "redis", "httptools"} == set()


def test_pages_do_not_import_asyncio(tmp_path: Path) -> None:
    with running_server(tmp_path) as (address, loaded):
        for path in ("/web", "/web/app.js", "/board"):
            assert get(address, path)

    assert loaded.forbidden & {"asyncio", "logging", "ssl", "msgspec"} == set()


def test_chat_imports_asyncio_and_no_unneeded_module(tmp_path: Path) -> None:
    with running_server(tmp_path) as (address, loaded):
        get(address, "/chat", body=CHAT.replace(b'"model"', b'"unused"'))

    assert {"asyncio", "msgspec"} <= loaded.modules
    others = {"sqlite3", "redis", "httptools", "aiohappyeyeballs", "prometheus_client", "argparse"}
    assert loaded.forbidden & others == set()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/metrics", None),
        ("/openapi.json", None),
        ("/history", None),
        ("/api/data?ttft=1us", None),
        ("/v1/chat/completions", CHAT.replace(b"sim:", b"sim:script=none.yaml,")),
        ("/v1/chat/completions", CHAT.replace(b"sim:", b"sim:script=none.jsonl,")),
    ],
)
def test_main_thread_is_unchanged(tmp_path: Path, path: str, body: bytes | None) -> None:
    with running_server(tmp_path) as (address, loaded):
        assert get(address, path, body=body)

    assert "threading" in loaded.modules
    assert "ASTRAY" not in loaded.modules


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_upstream_imports_its_client_at_the_start(tmp_path: Path, scheme: str) -> None:
    with running_server(tmp_path, UPSTREAM_URL=f"{scheme}://127.0.0.1:1/v1", API_KEY="k") as (_, loaded):
        pass

    assert {"asyncio", "httptools", "aiohappyeyeballs"} <= loaded.modules
    assert ("tokenfall.upstream.tls" in loaded.modules) == (scheme == "https")
    assert loaded.forbidden & {"redis", "sqlite3", "prometheus_client", "argparse"} == set()
    assert "urllib.request" not in loaded.modules


def test_proxy_variable_imports_its_parser(tmp_path: Path) -> None:
    environment = {"UPSTREAM_URL": "http://127.0.0.1:1/v1", "API_KEY": "k", "HTTP_PROXY": "http://127.0.0.1:2"}
    with running_server(tmp_path, **environment) as (_, loaded):
        pass

    assert "urllib.request" in loaded.modules
