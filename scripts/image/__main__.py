"""Creates the file system of an image during its build: `python -m scripts.image TARGET SITE_PACKAGES ROOT`.

The server is exercised with all installed packages, and each file that it loads is recorded; these files, compiled, are
the image. Then the server is exercised again, inside the finished file system.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.image import sbom
from scripts.image.exercise import exercise
from scripts.image.lazy_imports import lazy_imports
from scripts.image.root import PACKAGES, Root
from scripts.image.targets import TARGETS, Target
from scripts.image.upstreams import exercise_full

SOURCES = str(Path(__file__).parents[2])
PYTHON = str(Path(sys.executable).resolve())


def main(target: Target, site_packages: Path, *, root_path: Path) -> None:
    """Record the files, create the file system, and test it."""
    with tempfile.TemporaryDirectory() as folder:
        recorded = _recorded(target, site_packages, folder=Path(folder))
    root = Root(root_path, site_packages)
    root.fill(recorded, certificates=target.is_full)
    bom = root.path / sbom.PLACE
    bom.parent.mkdir(parents=True)
    bom.write_bytes(sbom.document(root.taken, site_packages, target=target.name))
    environment = [f"PYTHONPATH=/{PACKAGES}", "PYTHONDONTWRITEBYTECODE=1"]
    inside = ["env", *environment, "chroot", str(root.path), PYTHON, "-S", "-m", "tokenfall"]
    hosts = root.path / "etc/hosts"  # created by the container engine at run time
    hosts.write_text("127.0.0.1 localhost\n", encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=root.path) as folder:
        _exercise(inside, target, folder=Path(folder), path_inside=f"/{Path(folder).name}")
    hosts.unlink()
    root.finish()
    print(f"{target.name}: {len(recorded)} modules and data files, {len(root.taken)} files")


def _recorded(target: Target, site_packages: Path, *, folder: Path) -> set[Path]:
    """The files that the server loads, and those of all modules that functions in them import, recursively."""
    record = folder / "files"
    python = [PYTHON, "-S", "-m", "scripts.image.recorder", str(record), ",".join(target.excluded)]
    inside = ["env", f"PYTHONPATH={site_packages}:{SOURCES}", *python]
    _exercise([*inside, "run", "tokenfall"], target, folder=folder, path_inside=str(folder))
    tried: set[str] = set()
    while names := lazy_imports(_modules(record, site_packages)) - tried:
        subprocess.run([*inside, "import", *sorted(names)], check=True)
        tried |= names
    return _files(record) | _data(site_packages, target)


def _files(record: Path) -> set[Path]:
    found = {Path(line) for line in record.read_text(encoding="utf-8").splitlines()}
    return {path for path in found if not path.is_relative_to(f"{SOURCES}/scripts")}


def _modules(record: Path, site_packages: Path) -> list[Path]:
    """The recorded modules of tokenfall."""
    ours = site_packages / "tokenfall"
    return [file for file in _files(record) if file.is_relative_to(ours) and file.suffix == ".py"]


def _data(site_packages: Path, target: Target) -> set[Path]:
    """The package's data files: pages, profiles and, if Redis is included, Lua scripts."""
    files = (site_packages / "tokenfall").rglob("*")
    excluded = {".py", ".pyc", ".typed"} | (set() if target.is_full else {".lua"})
    return {file for file in files if file.is_file() and file.suffix not in excluded}


def _exercise(command: Sequence[str], target: Target, *, folder: Path, path_inside: str) -> None:
    exercise(command, folder, path_inside=path_inside)
    if target.is_full:
        exercise_full(command, folder, path_inside=path_inside)


if __name__ == "__main__":
    name, packages, root_of_image = sys.argv[1:]
    main(TARGETS[name], Path(packages).absolute(), root_path=Path(root_of_image))
