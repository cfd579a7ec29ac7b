"""Real containers: podman and runc, on the host's network."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from benchmarks.containers import charged_to, memory_group
from benchmarks.processes import free_port

CONFIGURATION = """
[network]
network_backend = "netavark"
[engine]
runtime = "runc"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=1000:1000"]
"""
"""podman's default nproc limit may exceed the machine's; netavark resolves container names."""

LIMITS = ("--cpus=0.1", "--memory=20m", "--memory-swap=20m")
LOCKED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")
COMMAND_S = 100.0
"""Timeout of a podman command on a busy machine."""

PROGRAMS = ("podman", "runc", "mmdebstrap")


def skip_reason() -> str:
    """Return why containers cannot run on this machine, "" if they can."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        return f"containers need {', '.join(missing)}"
    return "" if os.geteuid() == 0 else "containers with limits need root"


class Podman:
    """The podman command with its own configuration in `folder`."""

    def __init__(self, folder: Path) -> None:
        configuration = folder / "containers.conf"
        configuration.write_text(CONFIGURATION, encoding="utf-8")
        self.environment = {**os.environ, "CONTAINERS_CONF": str(configuration), "CONTAINER_ENGINE": "podman"}

    def __call__(self, *words: str) -> str:
        """Run the command and return its stdout. Raises AssertionError with its stderr."""
        done = self.tried(*words)
        assert done.returncode == 0, f"podman {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", *words], env=self.environment, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )

    @contextmanager
    def running(self, image: str, *, options: tuple[str, ...] = (), **settings: str) -> Iterator["Container"]:
        """Run the image's server with podman `options`; yield it once it listens, and remove it at the end."""
        name, port = f"tokenfall-test-{uuid4().hex[:8]}", settings.setdefault("PORT", str(free_port()))
        given = [f"--env={key}={value}" for key, value in {"HOST": "127.0.0.1", **settings}.items()]
        command = ["podman", "run", "--name", name, *LOCKED, *options, *given, image]
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1
            )
            try:
                first = process.stdout.readline() if process.stdout else ""
                log.seek(0)
                assert first.startswith("Tokenfall listens on"), f"{first}{log.read()}"
                yield Container(self, name, process=process, port=int(port))
            finally:
                self.tried("rm", "--force", "--time", "0", name)
                process.communicate(timeout=COMMAND_S)


class Container:
    """A server in a container; `process` is podman, which exits with the container's status."""

    def __init__(self, podman: Podman, name: str, *, process: "subprocess.Popen[str]", port: int) -> None:
        self.name = name
        self.port = port
        self.pid = int(podman("inspect", "--format", "{{.State.Pid}}", name))
        self._podman = podman
        self._process = process
        self._memory = memory_group(self.pid)

    @property
    def peak_bytes(self) -> int:
        """Return the peak memory of its cgroup."""
        return charged_to(self._memory)["peak_bytes"]

    def check_health(self) -> bool:
        """Run the image's health check once; return whether it reports healthy."""
        return self._podman.tried("healthcheck", "run", self.name).returncode == 0

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program inside the container."""
        return self._podman.tried("exec", self.name, *words)

    def signal(self, name: str) -> None:
        self._podman("kill", "--signal", name, self.name)

    def stop(self, *, grace_s: int) -> int:
        """Send SIGTERM, and SIGKILL after `grace_s`; return the exit status."""
        self._podman("stop", "--time", str(grace_s), self.name)
        return self.wait()

    def wait(self) -> int:
        """Wait for the exit and return the status."""
        return self._process.wait(timeout=COMMAND_S)
