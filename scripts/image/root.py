"""Creates the file system of an image from the list of files that its server loads. Part of the image build."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from scripts.image.bytecode import compile_to

STDLIB = Path(os.__file__).parent
PACKAGES = Path("opt/tokenfall")
TYPED = ("tokenfall", "redis")
"""Packages with many types, which they do not read when they run."""
LANDMARK = STDLIB / "os.py"
"""The interpreter finds its library by this file; the module itself is frozen."""
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
USER = 10001
LIBRARY = re.compile(r"(/\S+) \(0x")
ACCOUNTS = {
    "etc/passwd": f"root:x:0:0:root:/:/nologin\ntokenfall:x:{USER}:{USER}:tokenfall:/:/nologin\n",
    "etc/group": f"root:x:0:\ntokenfall:x:{USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


class Root:
    """The file system at `path`; `taken` are the source files that were copied into it."""

    def __init__(self, path: Path, site_packages: Path) -> None:
        self.path = path
        self.taken: set[Path] = set()
        self._site_packages = site_packages
        sys.path.append(str(site_packages))
        from tokenfall.api.page import without_comments  # noqa: PLC0415 - installed there

        self._without_comments = without_comments

    def fill(self, recorded: Iterable[Path], *, certificates: bool) -> None:
        """Create all files; `recorded` are modules and data files of the standard library and the packages."""
        self._make_skeleton()
        python = Path(sys.executable).resolve()
        self._copy(python, Path("usr/bin") / python.name)
        self._take_libraries(python)
        for source in sorted({LANDMARK, *recorded}):
            self._take(source)
        (self._in_root(STDLIB) / "lib-dynload").mkdir(exist_ok=True)
        if certificates:
            self._copy(Path("/") / CERTIFICATES, CERTIFICATES)
            link = self.path / "usr/lib/ssl/cert.pem"  # the default path of Debian's OpenSSL
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(f"/{CERTIFICATES}")

    def finish(self) -> None:
        """Set the same timestamp on all files, so that the same files give the same layer."""
        for place in sorted(self.path.rglob("*"), reverse=True):
            os.utime(place, (0, 0), follow_symlinks=False)
        os.utime(self.path, (0, 0))

    def _make_skeleton(self) -> None:
        for folder in ("usr/bin", "usr/lib", "usr/lib64", "etc", "tmp"):
            (self.path / folder).mkdir(parents=True)
        (self.path / "tmp").chmod(0o1777)
        for link in ("bin", "lib", "lib64"):
            (self.path / link).symlink_to(f"usr/{link}")
        for name, text in ACCOUNTS.items():
            (self.path / name).write_text(text, encoding="utf-8")

    def _take(self, source: Path) -> None:
        target = self._in_root(source)
        self.taken.add(source)
        if source.suffix == ".py":
            target = target.with_suffix(".pyc")
            typed = any(target.is_relative_to(self.path / PACKAGES / name) for name in TYPED)
            runs_as = f"/{target.relative_to(self.path).with_suffix('.py')}"
            compile_to(source, target, runs_as=runs_as, keeps_types=not typed)
            return
        if source.parent.name == "web":  # tokenfall.api.page reads both forms
            target.parent.mkdir(parents=True, exist_ok=True)
            packed = target.with_name(f"{target.name}.gz")
            packed.write_bytes(gzip.compress(self._without_comments(source.name, source.read_bytes()), mtime=0))
            packed.chmod(0o644)
            return
        self._copy(source, target.relative_to(self.path))
        if ".so" in source.suffixes:
            self._take_libraries(source)
            # Libraries in wheels contain symbols, which are half of the file.
            subprocess.run(["strip", "--strip-unneeded", str(target)], check=True)

    def _in_root(self, source: Path) -> Path:
        """The path in the image: packages are in their own folder, the standard library has its usual path."""
        if source.is_relative_to(self._site_packages):
            return self.path / PACKAGES / source.relative_to(self._site_packages)
        return self.path / source.relative_to("/")

    def _take_libraries(self, binary: Path) -> None:
        """Copy the shared libraries of `binary`, as resolved by the dynamic loader, and the loader itself."""
        listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
        for found in LIBRARY.findall(listed):
            library = Path(found)
            target = Path("usr") / library.relative_to("/") if library.parts[1] != "usr" else library.relative_to("/")
            if library not in self.taken:
                self.taken.add(library)
                self._copy(library, target)

    def _copy(self, source: Path, target: Path) -> None:
        place = self.path / target
        self.taken.add(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
        place.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
