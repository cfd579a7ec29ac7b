"""What a cold start loads. Each case runs the real command in a process of its own, on an address that nobody has."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tokenfall.cli.lean import _in_place_of

NOBODYS_ADDRESS = "192.0.2.1"  # RFC 5737: wiring is complete when listening on it fails
HEAVY = {"aiohttp", "redis", "sqlite3", "prometheus_client", "dotenv", "typing_extensions", "rich"}
WHEN_ASKED = {"tokenfall.api.board", "tokenfall.api.metrics", "tokenfall.api.openapi"}
"""Our own, loaded by the first request for what they tell."""

TLS = {"ssl", "_ssl", "_hashlib"}

COLD_START = """
import json, sys
from tokenfall.cli import main
status = main(sys.argv[1:])
import asyncio
ssl = sys.modules.get("ssl")
print(json.dumps({
    "status": status,
    "modules": sorted(sys.modules),
    "asyncio_has_ssl": asyncio.sslproto.ssl is not None,
    "ssl_file": getattr(ssl, "__file__", None),
    "ssl_is_whole": hasattr(ssl, "HAS_TLSv1_2"),
}))
"""


def cold_start(folder: Path, *words: str, **environment: str) -> dict[str, Any]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    run = subprocess.run(
        [sys.executable, "-c", COLD_START, *words],
        cwd=folder,
        env={**kept, "HOST": NOBODYS_ADDRESS, "PORT": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "cannot listen" in run.stderr
    report: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    assert report["status"] == 1
    return report


def test_the_simulator_loads_neither_libraries_nor_tls_nor_argparse(tmp_path: Path) -> None:
    report = cold_start(tmp_path, "serve")
    loaded = set(report["modules"])

    assert loaded & (HEAVY | TLS | {"argparse"}) == set()
    assert loaded & WHEN_ASKED == set()
    assert not report["asyncio_has_ssl"]
    assert {"asyncio", "uvloop", "httptools", "msgspec", "tokenfall.bootstrap"} <= loaded


def test_flags_load_argparse_and_nothing_else(tmp_path: Path) -> None:
    loaded = set(cold_start(tmp_path, "serve", "--host", NOBODYS_ADDRESS)["modules"])

    assert "argparse" in loaded
    assert loaded & (HEAVY | TLS) == set()


def test_an_upstream_loads_its_client_with_the_real_tls(tmp_path: Path) -> None:
    report = cold_start(tmp_path, "serve", UPSTREAM_URL="https://192.0.2.1/v1", API_KEY="k")
    loaded = set(report["modules"])

    assert {"aiohttp", "_ssl"} <= loaded
    assert report["asyncio_has_ssl"]
    assert report["ssl_is_whole"]
    assert Path(report["ssl_file"]).name == "ssl.py"
    assert loaded & {"redis", "sqlite3", "prometheus_client", "argparse"} == set()


# Standing in for a module


@pytest.fixture
def _colorsys_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)


@pytest.mark.usefixtures("_colorsys_not_loaded")
def test_a_module_is_hidden_for_a_while_only() -> None:
    with _in_place_of("colorsys", None), pytest.raises(ImportError):
        __import__("colorsys")

    assert __import__("colorsys").rgb_to_hsv is not None


@pytest.mark.usefixtures("_colorsys_not_loaded")
def test_a_module_is_replaced_for_a_while_only() -> None:
    hollow = ModuleType("colorsys")
    with _in_place_of("colorsys", hollow):
        assert __import__("colorsys") is hollow

    assert __import__("colorsys") is not hollow


@pytest.mark.usefixtures("_colorsys_not_loaded")
def test_a_failure_meanwhile_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError), _in_place_of("colorsys", None):
        raise ZeroDivisionError

    assert "colorsys" not in sys.modules


def test_a_module_that_is_loaded_already_stays() -> None:
    with _in_place_of("json", None):
        assert __import__("json") is json
    assert sys.modules["json"] is json
