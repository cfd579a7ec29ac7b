"""Runs containers with podman and runc, with a cold page cache, and reads the memory charged to them.

Images and containers are stored in benchmarks/.build, separate from those of the machine.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.measurement import NotMeasured
from benchmarks.processes import DidNotListen, ended_within
from benchmarks.toolchain import BUILD

CGROUPS = Path("/sys/fs/cgroup")
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
RUN_DIRECTORY = Path("/run/tokenfall-bench")  # a long path would not fit into the address of podman's sockets
LOG = BUILD / "logs" / "podman.log"
TIME_LIMIT_S = 120
LIMITS = (
    "--cpus=0.1",
    "--memory=20m",
    "--memory-swap=20m",
    "--ulimit=nofile=20000:20000",
    "--ulimit=nproc=1000:1000",  # podman's default may exceed the limit of this machine
    "--read-only",
    "--user=10001",
    "--network=host",  # the servers listen on 127.0.0.1
)


@dataclass(frozen=True)
class Container:
    """A running container's main process, which is a child of another program."""

    name: str
    pid: int
    ended: int
    memory_group: Path

    def ends_within(self, seconds: float) -> bool:
        return ended_within(self.ended, seconds)

    def charged(self) -> dict[str, int]:
        """Its peak and current memory by kind, in bytes; empty once it has ended."""
        try:
            return charged_to(self.memory_group)
        except OSError:  # the group is removed with its last process
            return {}


def need_containers() -> None:
    """Raises `NotMeasured`, naming the first missing requirement."""
    if os.geteuid() != 0:
        raise NotMeasured("a container with a cold page cache needs root")
    for program in ("podman", "runc", "mmdebstrap"):
        if not shutil.which(program):
            raise NotMeasured(f"{program} is not installed")
    if not os.access(DROP_CACHES, os.W_OK):
        raise NotMeasured(f"{DROP_CACHES} is not writable")
    controllers = CGROUPS / "cgroup.controllers"
    v2 = controllers.read_text().split() if controllers.exists() else []
    for controller in ("memory", "cpu"):
        if controller not in v2 and not (CGROUPS / controller).is_dir():
            raise NotMeasured(f"this machine has no control group for {controller}")


def podman(*arguments: str, stdin: IO[bytes] | None = None) -> str:
    """Run podman; return its standard output. Standard error goes to the log."""
    storage = ["--root", str(BUILD / "containers"), "--runroot", str(RUN_DIRECTORY), "--storage-driver", "vfs"]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("ab") as log:
        done = subprocess.run(
            ["podman", *storage, "--runtime", "runc", *arguments],
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    if done.returncode:
        raise NotMeasured(f"podman {arguments[0]} failed: see podman.log in benchmarks/.build/logs")
    return done.stdout.decode().strip()


@contextmanager
def running(
    name: str, image: str, *, core: int, env: Mapping[str, str], command: Sequence[str] = ()
) -> Iterator[Container]:
    """A container of `image` with its command or `command`, within the limits, on one core; removed with the block.

    The page cache is dropped after the files were copied, so that the container is charged for each file that it reads.
    """
    settings = [f"--env={key}={value}" for key, value in env.items()]
    identifier = podman("create", *LIMITS, f"--cpuset-cpus={core}", *settings, image, *command)
    try:
        os.sync()
        DROP_CACHES.write_text("3\n")
        podman("start", identifier)
        pid = int(podman("inspect", "--format", "{{.State.Pid}}", identifier))
        with _handle(pid) as ended:
            yield Container(name, pid, ended, memory_group(pid))
    finally:
        podman("rm", "--force", "--time", "0", identifier)


@contextmanager
def _handle(pid: int) -> Iterator[int]:
    if not pid:
        raise DidNotListen("the container ended during startup")
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        raise DidNotListen("the container ended during startup") from None
    try:
        yield ended
    finally:
        os.close(ended)


def memory_group(pid: int) -> Path:
    """The process's memory control group: of cgroups version 1 if in use, else of version 2."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except FileNotFoundError:
        raise DidNotListen("the container ended during startup") from None
    if v1 := re.search(r"^\d+:memory:/(.*)$", groups, re.MULTILINE):
        return CGROUPS / "memory" / v1[1]
    v2 = re.search(r"^0::/(.*)$", groups, re.MULTILINE)
    return CGROUPS / (v2[1] if v2 else "")


def charged_to(group: Path) -> dict[str, int]:
    """The memory figures of a control group, version 1 or 2. Figures that this kernel does not have are omitted."""
    stat = {name: int(value) for name, value in map(str.split, (group / "memory.stat").read_text().splitlines())}
    for name in ("memory.max_usage_in_bytes", "memory.kmem.usage_in_bytes", "memory.peak"):
        if (group / name).exists():
            stat[name] = int((group / name).read_text())
    names = {
        "peak_bytes": ("memory.max_usage_in_bytes", "memory.peak"),  # memory.peak came with Linux 5.19
        "page_cache_bytes": ("cache", "file"),
        "anonymous_bytes": ("rss", "anon"),
        "kernel_bytes": ("memory.kmem.usage_in_bytes", "kernel"),
    }
    return {figure: stat[name] for figure, of in names.items() for name in of if name in stat}
