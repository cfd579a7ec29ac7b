"""How the image build selects files and writes the archive; tests/containers runs the build itself."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from scripts.image.bytecode import compile_to
from scripts.image.lazy_imports import imports_in_functions, lazy_imports
from scripts.image_archive import ImageArchive, normalize

ROOT = Path(__file__).parents[3]

SOURCE = """
import os
if TYPE_CHECKING:
    import typing_only
def first():
    import json, a.b
    def inner():
        from c import d
async def second():
    from e.f import g as h
"""


def test_imports_inside_functions_are_found_with_their_names() -> None:
    assert imports_in_functions(SOURCE) == {"json", "a.b", "c", "c.d", "e.f", "e.f.g"}


def test_future_import_is_not_a_module(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("def f():\n    import __main__, json\n", encoding="utf-8")

    assert lazy_imports([tmp_path / "x.py"]) == {"json"}


def recorded(folder: Path, *words: str, excluded: str = "-") -> set[str]:
    """The names of the files that a recorded run of these arguments opened."""
    record = folder / "files"
    subprocess.run(
        [sys.executable, "-S", "-m", "scripts.image.recorder", str(record), excluded, *words],
        env={"PYTHONPATH": f"{folder}:{ROOT}"},
        check=True,
        cwd=folder,
    )
    return {Path(line).name for line in record.read_text(encoding="utf-8").splitlines()}


def test_recorded_run_lists_its_modules_and_data_files(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"import colorsys, sys\nopen('{tmp_path}/data.txt')\n", encoding="utf-8")
    (tmp_path / "data.txt").touch()

    recorded_files = recorded(tmp_path, "run", "program")

    assert {"program.py", "colorsys.py", "data.txt"} <= recorded_files
    assert "recorded.py" not in recorded_files


def test_modules_that_need_an_excluded_module_are_excluded_with_their_dependencies(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import colorsys, json\n", encoding="utf-8")
    (tmp_path / "whole.py").write_text("import this\n", encoding="utf-8")

    recorded_files = recorded(tmp_path, "import", "broken", "whole", "nowhere", excluded="json")

    assert "whole.py" in recorded_files
    assert recorded_files & {"broken.py", "colorsys.py", "__init__.py"} <= {"__init__.py"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive as written by `docker save`: two layers, a configuration and a manifest."""

    def tar(path: Path, files: dict[str, bytes]) -> Path:
        with tarfile.open(path, "w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    layers = {name: tar(tmp_path / name, files).read_bytes() for name, files in {
        "1.tar": {"etc/passwd": b"root", "big": b"x" * 1000}, "2.tar": {"./data": b"12"},
    }.items()}  # fmt: skip
    manifest = [{"Config": "c.json", "Layers": ["1.tar", "2.tar"]}]
    files = {"c.json": b'{"config":{"User":"10001"}}', "manifest.json": json.dumps(manifest).encode(), **layers}
    return tar(tmp_path / "image.tar", files)


def test_archive_has_sizes_digest_and_files(archive: Path) -> None:
    image = ImageArchive(archive)

    assert image.config == {"User": "10001"}
    assert image.digest == "sha256:7a49ec645135763d039429abf2171e29944bc6cc682277ae66ebb1283a69ebdd"
    assert set(image.files()) == {"etc/passwd", "big", "data"}
    assert image.digests()["data"] == hashlib.sha256(b"12").hexdigest()
    assert image.unpacked_bytes == 1006
    assert 0 < image.packed_bytes < 1006
    assert image.text("etc/passwd") == b"root"
    with pytest.raises(KeyError):
        image.text("etc/shadow")


def test_image_archive_is_reproducible(tmp_path: Path, archive: Path) -> None:
    original = archive.read_bytes()
    digests = set()
    built = tmp_path
    for build in ("first", "second"):
        built = tmp_path / f"{build}.tar"
        built.write_bytes(original)
        with tarfile.open(built) as archive_file:
            members = {one.name: archive_file.extractfile(one).read() for one in archive_file.getmembers()}  # type: ignore[union-attr]
        config = {"User": "10001", "Hostname": build}
        history = [{"comment": f"FROM {build}", "created_by": "COPY"}]
        document = {"config": config, "container": build, "parent": build, "history": history}
        members["c.json"] = json.dumps(document).encode()
        with tarfile.open(built, "w") as archive_file:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive_file.addfile(member, io.BytesIO(content))
        normalize(built, name="localhost/x:y")
        digests.add((ImageArchive(built).digest, hashlib.sha256(built.read_bytes()).hexdigest()))

    assert len(digests) == 1
    assert ImageArchive(built).config == {"User": "10001"}
    assert set(ImageArchive(built).files()) == {"etc/passwd", "big", "data"}


ANNOTATIONS = {"number": "int", "rest": "int", "key": "int", "return": "str"}


@pytest.mark.parametrize(("keeps_types", "of_function"), [(True, ANNOTATIONS), (False, {})])
def test_compiled_module_needs_no_source_and_may_lack_types(
    tmp_path: Path, *, keeps_types: bool, of_function: dict[str, str]
) -> None:
    source, target = tmp_path / "source" / "compiled.py", tmp_path / "compiled.pyc"
    source.parent.mkdir()
    source.write_text(
        'from __future__ import annotations\n"""Text."""\nclass A:\n    """Text."""\n    member: int = 0\n'
        'def f(number: int, *rest: int, key: int = 1) -> str:\n    """Text."""\n'
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import typing_only\nelse:\n    runs = True\n"
    )
    compile_to(source, target, runs_as="/compiled.py", keeps_types=keeps_types)
    spec = spec_from_file_location("compiled", target)
    assert spec is not None
    module = module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)

    assert module.runs
    assert (b"typing_only" in target.read_bytes()) is keeps_types
    assert module.f.__annotations__ == of_function
    assert module.A.__annotations__ == {"member": "int"}
    assert (module.A.__doc__, module.f.__doc__, module.f.__code__.co_filename) == (None, None, "/compiled.py")
