"""Contents of the images."""

import hashlib
import io
import json
import subprocess
import tarfile

import pytest

from tokenfall import __version__

from scripts.build_image import SBOM
from scripts.image_archive import MB, ImageArchive
from tests.containers.podman import Podman

LIMITS_MB = {"simulator": (15, 6), "full": (30, 12)}
"""Size limits, unpacked and packed."""

TARGETS = sorted(LIMITS_MB)
Images = dict[str, ImageArchive]


@pytest.mark.parametrize("target", TARGETS)
def test_image_size_is_within_the_limit(images: Images, target: str) -> None:
    unpacked, packed = LIMITS_MB[target]

    assert images[target].unpacked_bytes <= unpacked * MB
    assert images[target].packed_bytes <= packed * MB


@pytest.mark.parametrize("target", TARGETS)
def test_image_has_no_shell_pip_or_source_and_one_user(images: Images, target: str) -> None:
    image = images[target]
    names = set(image.files())

    assert image.config["User"] == "10001:10001"
    assert "usr/bin/python3.11" in names
    assert {name for name in names if name.startswith(("usr/bin/", "usr/sbin/"))} == {"usr/bin/python3.11"}
    assert [name for name in names if name.endswith(".py") or "site-packages" in name or "/pip/" in name] == []


@pytest.mark.parametrize("target", TARGETS)
def test_only_root_owns_files_in_the_image(images: Images, target: str) -> None:
    writable = {
        name
        for name, member in images[target].files().items()
        if not member.issym() and (member.uid != 0 or member.mode & 0o022)
    }

    assert writable == ({"tmp"} if target == "simulator" else {"tmp", "data"})


@pytest.mark.parametrize("target", TARGETS)
def test_image_has_its_labels_health_check_and_stop_signal(images: Images, target: str) -> None:
    config = images[target].config

    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert config["Labels"]["org.opencontainers.image.licenses"] == "MIT"
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/bin/python3.11", "-S", "-m", "tokenfall", "health"]
    assert config["StopSignal"] == "SIGTERM"


@pytest.mark.parametrize("target", TARGETS)
def test_sbom_lists_the_contents_of_the_image(images: Images, target: str) -> None:
    document = json.loads(images[target].text(SBOM))
    parts = {part["name"]: part for part in document["components"]}

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert {"tokenfall", "msgspec", "python3.11-minimal", "libc6"} <= set(parts)
    assert parts["msgspec"]["purl"] == f"pkg:pypi/msgspec@{parts['msgspec']['version']}"
    assert ("redis" in parts, "libssl3" in parts) == ((True, True) if target == "full" else (False, False))
    assert not {"pip", "setuptools", "bash", "hatchling"} & set(parts)


def test_image_build_is_reproducible(podman: Podman, images: Images) -> None:
    podman("build", "--isolation=chroot", "--format=docker", "--timestamp=0", "--layers", "--target=build",
           "--tag=tokenfall:build", ".")  # fmt: skip
    again = "python3.11 -m scripts.image simulator venv/lib/python3.11/site-packages /image >&2 && tar -C /image -c ."
    made = subprocess.run(
        ["podman", "run", "--rm", "--network=host", "tokenfall:build", "sh", "-c", again],
        env=podman.environment,
        capture_output=True,
        check=True,
    )
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as files:
        digests = {one.name.removeprefix("./"): _digest(files, one) for one in files.getmembers() if one.isfile()}

    assert digests == images["simulator"].digests()
    assert {one.mtime for one in images["simulator"].files().values()} == {0}


def _digest(files: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = files.extractfile(member)
    assert file is not None
    return hashlib.sha256(file.read()).hexdigest()
