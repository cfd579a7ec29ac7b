"""Runs wrk, and measures the server's processor time per request."""

import re
import subprocess
from typing import Any

from benchmarks.bench import Bench, Server
from benchmarks.machine import cpu_seconds
from benchmarks.measurement import NotMeasured

CONNECTIONS = 400


def run(bench: Bench, server: Server, *, path: str, seconds: float) -> dict[str, Any]:
    """The number of responses, and the server's processor time for each."""
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s"]
    before = cpu_seconds(server.pid)
    done = subprocess.run(
        ["taskset", "-c", str(bench.load_core), bench.tools.program("wrk"), *options, server.url + path],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    spent = cpu_seconds(server.pid) - before
    counted = re.search(r"(\d+) requests in", done.stdout)
    requests = int(counted[1]) if counted else 0
    if not requests or "Non-2xx" in done.stdout:
        raise NotMeasured(f"{server.name} did not respond to {path} with 200")
    errors = re.search(r"Socket errors: (.+)", done.stdout)
    return {
        "requests": requests,
        "requests_per_s": requests / seconds,
        "cpu_us_per_request": spent * 1e6 / requests,
        "socket_errors": errors[1] if errors else None,
    }
