"""Images for the container row: Tokenfall on Debian's Python, and a yardstick alone. Each is made once a run.

Nothing is compiled in the container: its files are opt-2 bytecode, as those of the Dockerfile.
"""

import compileall
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from py_compile import PycInvalidationMode

from benchmarks.bench import ROOT
from benchmarks.containers import podman
from benchmarks.measurement import NotMeasured
from benchmarks.toolchain import BUILD

SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
PACKAGES = "opt/tokenfall"
NOT_NEEDED = ("usr/share", "var/lib/dpkg")
TIME_LIMIT_S = 300


@cache
def tokenfall_image(archive: Path | None) -> str:
    """The image in `archive` (`podman save`, `docker save`), or one that is made from this working tree."""
    if archive is not None:
        return podman("load", "--input", str(archive)).rpartition(" ")[2]
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        root = Path(folder) / "root"
        _unpack_debian(root)
        for name in _needed("tokenfall"):
            _copy_files(distribution(name), root / PACKAGES)
        shutil.copytree(
            ROOT / "src" / "tokenfall", root / PACKAGES / "tokenfall", ignore=shutil.ignore_patterns("__pycache__")
        )
        for place in (f"usr/lib/{PYTHON}", PACKAGES):
            _compile(root, place)
        environment = {
            "PYTHONPATH": f"/{PACKAGES}",
            "PYTHONOPTIMIZE": "2",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "MALLOC_ARENA_MAX": "1",
        }
        return _imported("tokenfall", root, command=[f"/usr/bin/{PYTHON}", "-m", "tokenfall", "serve"], env=environment)


@cache
def program_image(name: str, program: str) -> str:
    """A statically linked program and nothing else."""
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        root = Path(folder) / "root"  # the temporary folder itself may be entered by its owner alone
        root.mkdir()
        shutil.copy(program, root / name)
        return _imported(name, root, command=[f"/{name}"], env={})


def _unpack_debian(root: Path) -> None:
    """Debian's Python and the packages that it depends on, unpacked: no shell, no package manager."""
    suite = SUITES.get(sys.version_info[:2])
    if suite is None:
        known = " and ".join(f"{major}.{minor}" for major, minor in SUITES)
        raise NotMeasured(f"the container runs a Debian release's Python, {known}; this one is another")
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={PYTHON}", suite, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    if done.returncode:
        print(done.stderr)
        raise NotMeasured("mmdebstrap could not unpack Debian's packages")
    for place in NOT_NEEDED:
        shutil.rmtree(root / place, ignore_errors=True)


def _needed(name: str) -> set[str]:
    """The distributions that this one requires without extras, and so on, by name."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for requirement in distribution(waiting.pop()).requires or ():
            other = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            if "extra ==" not in requirement and other not in found and _is_installed(other):
                found.add(other)
                waiting.append(other)
    return found


def _is_installed(name: str) -> bool:
    """A requirement of another platform or Python is not."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _copy_files(of: Distribution, target: Path) -> None:
    for file in _importable(of):
        source, copy = Path(str(of.locate_file(file))), target / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)


def _importable(of: Distribution) -> Iterator[Path]:
    """Its files in site-packages, without commands and bytecode."""
    for file in of.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            yield Path(file)


def _compile(root: Path, place: str) -> None:
    """Without a look at the source's date: the files of an image never change."""
    compileall.compile_dir(
        root / place,
        quiet=2,
        optimize=2,
        workers=0,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


def _imported(name: str, root: Path, *, command: list[str], env: Mapping[str, str]) -> str:
    changes = [f"CMD {json.dumps(command)}", *(f"ENV {key}={value}" for key, value in env.items())]
    options = [part for change in changes for part in ("--change", change)]
    image = f"localhost/tokenfall-bench-{name}"
    with tempfile.TemporaryFile(dir=BUILD) as archive:
        subprocess.run(["tar", "-C", str(root), "-c", "."], stdout=archive, timeout=TIME_LIMIT_S, check=True)
        archive.seek(0)
        podman("import", *options, "-", image, stdin=archive)
    podman("image", "prune", "--force")  # the one that had this name before
    return image
