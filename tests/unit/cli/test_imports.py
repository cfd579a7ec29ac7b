"""What a cold start loads. Each case runs the real command in a process of its own, on an address that nobody has."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NOBODYS_ADDRESS = "192.0.2.1"  # RFC 5737: wiring is complete when listening on it fails
HEAVY = {"aiohttp", "redis", "sqlite3", "prometheus_client", "dotenv", "rich"}
WHEN_ASKED = {"tokenfall.api.board", "tokenfall.api.metrics", "tokenfall.api.openapi"}
"""Our own, loaded by the first request for what they tell."""

TLS: set[str] = set()

COLD_START = """
import json, sys
from tokenfall.cli import main
status = main(sys.argv[1:])
print(json.dumps({"status": status, "modules": sorted(sys.modules)}))
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
    assert {"httptools", "tokenfall.bootstrap"} <= loaded


def test_flags_load_argparse_and_nothing_else(tmp_path: Path) -> None:
    loaded = set(cold_start(tmp_path, "serve", "--host", NOBODYS_ADDRESS)["modules"])

    assert "argparse" in loaded
    assert loaded & (HEAVY | TLS) == set()


def test_an_upstream_loads_its_client(tmp_path: Path) -> None:
    report = cold_start(tmp_path, "serve", UPSTREAM_URL="https://192.0.2.1/v1", API_KEY="k")
    loaded = set(report["modules"])

    assert {"aiohttp", "_ssl"} <= loaded
    assert loaded & {"redis", "sqlite3", "prometheus_client", "argparse"} == set()
