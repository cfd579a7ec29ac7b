"""Images for the container row: Tokenfall's released image, and the reference servers', each built once per run."""

import json
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from benchmarks.bench import ROOT
from benchmarks.containers import podman
from benchmarks.measurement import NotMeasured
from benchmarks.toolchain import BUILD
from scripts.build_image import OUT

TARGET = "simulator"
BUILD_LIMIT_S = 900
TIME_LIMIT_S = 300


@cache
def tokenfall_image(archive: Path | None) -> str:
    """The image in `archive` (`podman save`, `docker save`), else the one that `make image` builds."""
    return podman("load", "--input", str(archive or _built())).rpartition(" ")[2]


@cache
def program_image(name: str, program: str) -> str:
    """An image that contains only a statically linked program."""
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        root = Path(folder) / "root"  # only the owner may enter the temporary folder itself
        root.mkdir()
        shutil.copy(program, root / name)
        return _imported(name, root, command=[f"/{name}"])


def _built() -> Path:
    """The archive of the built image. A base image that cannot be pulled is built from Debian's packages."""
    if not _make("image", f"ARGS=--target {TARGET}"):
        _make("base-images")
        if not _make("image", f"ARGS=--target {TARGET}"):
            raise NotMeasured("building the image failed")
    return OUT / f"{TARGET}.tar"


def _make(*words: str) -> bool:
    command = ["make", *words, f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False)
    if done.returncode:
        print(done.stdout, done.stderr)
    return done.returncode == 0


def _imported(name: str, root: Path, *, command: list[str]) -> str:
    image = f"localhost/tokenfall-bench-{name}"
    with tempfile.TemporaryFile(dir=BUILD) as archive:
        subprocess.run(["tar", "-C", str(root), "-c", "."], stdout=archive, timeout=TIME_LIMIT_S, check=True)
        archive.seek(0)
        podman("import", "--change", f"CMD {json.dumps(command)}", "-", image, stdin=archive)
    podman("image", "prune", "--force")  # the previous image of this name
    return image
