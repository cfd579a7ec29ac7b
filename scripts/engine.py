"""The installed container engine: docker, podman or buildah."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ENGINES = ("docker", "podman", "buildah")
REPRODUCIBLE = ("--format", "docker", "--timestamp", "0", "--layers")
"""Docker's format supports health checks; all timestamps are 0, for reproducible images."""


class Engine(NamedTuple):
    """One of `ENGINES`, by name."""

    name: str

    @property
    def build(self) -> list[str]:
        """The build command, without target, image name and folder.

        With `chroot` isolation a build also works in an unprivileged container, for example in a CI job.
        """
        if self.name == "docker":
            return ["docker", "build", "--build-arg", "SOURCE_DATE_EPOCH=0"]
        return [self.name, "build" if self.name == "podman" else "bud", "--isolation", "chroot", *REPRODUCIBLE]

    def has(self, image: str) -> bool:
        """Whether the image exists locally."""
        ask = {"docker": ["image", "inspect"], "podman": ["image", "exists"], "buildah": ["inspect"]}[self.name]
        return _runs([self.name, *ask, image])

    def pull(self, image: str) -> bool:
        """Pull the image from its registry; return whether that succeeded."""
        return _runs([self.name, "pull", "--quiet", image])

    def save(self, image: str, archive: Path) -> None:
        """Write the image to an archive for `docker load` and `podman load`."""
        archive.unlink(missing_ok=True)
        command = {
            "docker": ["docker", "save", "--output", str(archive), image],
            "podman": ["podman", "save", "--quiet", "--format", "docker-archive", "--output", str(archive), image],
            "buildah": ["buildah", "push", "--quiet", image, f"docker-archive:{archive}:{image}"],
        }[self.name]
        subprocess.run(command, check=True)

    def load(self, archive: Path) -> None:
        """Load the image from an archive, with its name."""
        command = ["load", "--input", str(archive)]
        if self.name == "buildah":
            command = ["pull", "--quiet", f"docker-archive:{archive}"]
        subprocess.run([self.name, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def find() -> Engine:
    """The engine that CONTAINER_ENGINE names, else the first of `ENGINES` that works. Raises SystemExit."""
    wanted = os.environ.get("CONTAINER_ENGINE")
    if wanted:
        if wanted not in ENGINES:
            raise SystemExit(f"CONTAINER_ENGINE: got {wanted!r}, takes one of {', '.join(ENGINES)}")
        return Engine(wanted)
    for name in ENGINES:
        # A docker client may be installed without its daemon.
        if shutil.which(name) and (name != "docker" or _runs(["docker", "version"])):
            return Engine(name)
    raise SystemExit(f"building images needs one of {', '.join(ENGINES)} (apt-get install podman runc)")


def _runs(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
