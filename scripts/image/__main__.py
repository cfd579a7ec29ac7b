"""Makes the file system of an image, inside the build: `python -m scripts.image TARGET SITE_PACKAGES ROOT`.

The server is run once with everything that is installed, and each file that it takes is written down; these, compiled,
are the image. Then the server is run once more, inside the finished file system, and asked the same.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.image import sbom
from scripts.image.exercise import exercise
from scripts.image.named import named
from scripts.image.root import PACKAGES, Root
from scripts.image.targets import TARGETS, Target
from scripts.image.upstreams import exercise_full

SOURCES = str(Path(__file__).parents[2])
PYTHON = str(Path(sys.executable).resolve())


def main(target: Target, site_packages: Path, *, root_path: Path) -> None:
    """Record, fill, and try."""
    with tempfile.TemporaryDirectory() as folder:
        recorded = _recorded(target, site_packages, folder=Path(folder))
    root = Root(root_path, site_packages)
    root.fill(recorded, certificates=target.is_full)
    bom = root.path / sbom.PLACE
    bom.parent.mkdir(parents=True)
    bom.write_bytes(sbom.document(root.taken, site_packages, target=target.name))
    environment = [f"PYTHONPATH=/{PACKAGES}", "PYTHONDONTWRITEBYTECODE=1"]
    inside = ["env", *environment, "chroot", str(root.path), PYTHON, "-S", "-m", "tokenfall"]
    hosts = root.path / "etc/hosts"  # where the image runs, its engine makes one
    hosts.write_text("127.0.0.1 localhost\n", encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=root.path) as folder:
        _use(inside, target, folder=Path(folder), seen=f"/{Path(folder).name}")
    hosts.unlink()
    root.finish()
    print(f"{target.name}: {len(recorded)} modules and data files, {len(root.taken)} files")


def _recorded(target: Target, site_packages: Path, *, folder: Path) -> set[Path]:
    """The files that the server takes, and those of every module that these name in functions, and so on."""
    record = folder / "files"
    python = [PYTHON, "-S", "-m", "scripts.image.recorded", str(record), ",".join(target.left_out)]
    inside = ["env", f"PYTHONPATH={site_packages}:{SOURCES}", *python]
    _use([*inside, "run", "tokenfall"], target, folder=folder, seen=str(folder))
    tried: set[str] = set()
    while names := named(_modules(record, site_packages)) - tried:
        subprocess.run([*inside, "import", *sorted(names)], check=True)
        tried |= names
    return _files(record) | _data(site_packages, target)


def _files(record: Path) -> set[Path]:
    found = {Path(line) for line in record.read_text(encoding="utf-8").splitlines()}
    return {path for path in found if not path.is_relative_to(f"{SOURCES}/scripts")}


def _modules(record: Path, site_packages: Path) -> list[Path]:
    """Those of tokenfall."""
    ours = site_packages / "tokenfall"
    return [file for file in _files(record) if file.is_relative_to(ours) and file.suffix == ".py"]


def _data(site_packages: Path, target: Target) -> set[Path]:
    """The package's own files besides its modules: pages, profiles, and scripts for Redis where that is included."""
    files = (site_packages / "tokenfall").rglob("*")
    left_out = {".py", ".pyc", ".typed"} | (set() if target.is_full else {".lua"})
    return {file for file in files if file.is_file() and file.suffix not in left_out}


def _use(command: Sequence[str], target: Target, *, folder: Path, seen: str) -> None:
    exercise(command, folder, seen=seen)
    if target.is_full:
        exercise_full(command, folder, seen=seen)


if __name__ == "__main__":
    name, packages, root_of_image = sys.argv[1:]
    main(TARGETS[name], Path(packages).absolute(), root_path=Path(root_of_image))
