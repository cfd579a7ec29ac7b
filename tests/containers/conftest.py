import subprocess
import sys
from pathlib import Path

import pytest

from scripts.build_image import BASE, OUT
from scripts.image_archive import ImageArchive
from tests.containers.podman import Podman, skip_reason

ROOT = Path(__file__).parents[2]
BUILD_S = 400
"""Test timeout, which includes the build of the images on a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(BUILD_S))


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    if reason := skip_reason():
        pytest.skip(reason)
    return Podman(tmp_path_factory.mktemp("podman"))


def run(podman: Podman, *command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, env=podman.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def images(podman: Podman) -> dict[str, ImageArchive]:
    """Both images by target, built from this working tree."""
    if podman.tried("image", "exists", BASE).returncode:
        command = ("scripts/base-images", "debian")
        made = subprocess.run(command, cwd=ROOT, env=podman.environment, capture_output=True, text=True, check=False)
        if made.returncode:  # Debian's packages cannot be downloaded, or no root file system can be built
            pytest.skip(f"no base image can be made here: {made.stderr[-300:]}")
    run(podman, sys.executable, "-m", "scripts.build_image")
    return {name: ImageArchive(OUT / f"{name}.tar") for name in ("simulator", "full")}


@pytest.fixture(scope="session")
def simulator(images: dict[str, ImageArchive]) -> str:
    """The name of the small image."""
    return "tokenfall:simulator"


@pytest.fixture(scope="session")
def full(images: dict[str, ImageArchive]) -> str:
    """The name of the full image."""
    return "tokenfall:latest"
