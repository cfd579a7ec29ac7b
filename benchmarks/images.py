"""Images for the container row: Tokenfall's own, as it is shipped, and a yardstick alone. Each is made once a run."""

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
    """The image in `archive` (`podman save`, `docker save`), else the one that `make image` builds of this tree."""
    return podman("load", "--input", str(archive or _built())).rpartition(" ")[2]


@cache
def program_image(name: str, program: str) -> str:
    """A statically linked program and nothing else."""
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        root = Path(folder) / "root"  # the temporary folder itself may be entered by its owner alone
        root.mkdir()
        shutil.copy(program, root / name)
        return _imported(name, root, command=[f"/{name}"])


def _built() -> Path:
    """Its archive. A base that cannot be pulled is made from Debian's packages."""
    if not _make("image", f"ARGS=--target {TARGET}"):
        _make("base-images")
        if not _make("image", f"ARGS=--target {TARGET}"):
            raise NotMeasured("the image did not build")
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
    podman("image", "prune", "--force")  # the one that had this name before
    return image
