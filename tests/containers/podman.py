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
"""podman's own default of nproc may be more than this machine allows; netavark gives containers names."""

LIMITS = ("--cpus=0.1", "--memory=20m", "--memory-swap=20m")
LOCKED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")
COMMAND_S = 100.0
"""How long a command of podman may take on a busy machine."""

PROGRAMS = ("podman", "runc", "mmdebstrap")


def why_not() -> str:
    """Why no container can be run here, "" where they can."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        return f"containers need {', '.join(missing)}"
    return "" if os.geteuid() == 0 else "containers with limits need root"


class Podman:
    """The command, with a configuration of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        configuration = folder / "containers.conf"
        configuration.write_text(CONFIGURATION, encoding="utf-8")
        self.environment = {**os.environ, "CONTAINERS_CONF": str(configuration), "CONTAINER_ENGINE": "podman"}

    def __call__(self, *words: str) -> str:
        """What it prints. Raises AssertionError with what it complains of."""
        done = self.tried(*words)
        assert done.returncode == 0, f"podman {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", *words], env=self.environment, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )

    @contextmanager
    def running(self, image: str, *, options: tuple[str, ...] = (), **settings: str) -> Iterator["Container"]:
        """The image's server once it listens; `options` are podman's. It is removed with the block."""
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
    """A server in a container, by its name; `process` is podman, which ends when it ends, with its exit status."""

    def __init__(self, podman: Podman, name: str, *, process: "subprocess.Popen[str]", port: int) -> None:
        self.name = name
        self.port = port
        self.pid = int(podman("inspect", "--format", "{{.State.Pid}}", name))
        self._podman = podman
        self._process = process
        self._memory = memory_group(self.pid)

    @property
    def peak_bytes(self) -> int:
        """The most memory that it was charged for."""
        return charged_to(self._memory)["peak_bytes"]

    def check_health(self) -> bool:
        """Run the image's health check, as its engine does periodically. Whether it reports healthy."""
        return self._podman.tried("healthcheck", "run", self.name).returncode == 0

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program beside the server."""
        return self._podman.tried("exec", self.name, *words)

    def signal(self, name: str) -> None:
        self._podman("kill", "--signal", name, self.name)

    def stop(self, *, grace_s: int) -> int:
        """SIGTERM, and SIGKILL after `grace_s`; the exit status."""
        self._podman("stop", "--time", str(grace_s), self.name)
        return self.wait()

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait(timeout=COMMAND_S)
