"""constraints.txt pins every dependency of pyproject.toml, and contains nothing but versions."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][A-Za-z0-9.+!]*)")


def pinned() -> set[str]:
    names: set[str] = set()
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        match = PIN.fullmatch(line)
        assert match, f"not a bare version: {line!r}"
        names.add(canonicalize_name(match["name"]))
    return names


def declared() -> list[Requirement]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        document = tomllib.load(file)
    project = document["project"]
    lists = [
        document["build-system"]["requires"],
        project["dependencies"],
        *project["optional-dependencies"].values(),
    ]
    return [Requirement(line) for group in lists for line in group]


def applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def closure(requirements: list[Requirement]) -> set[str]:
    """The names of `requirements` and their transitive dependencies, as far as they are installed here."""
    names: set[str] = set()
    pending = list(requirements)
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name in names:
            continue
        names.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # the build backend is installed in a separate environment
            continue
        found = [Requirement(line) for line in lines]
        pending += [each for each in found if applies(each, requirement.extras)]
    return names


def test_every_dependency_is_pinned() -> None:
    assert closure(declared()) - pinned() == set()


def test_closure_includes_transitive_dependencies() -> None:
    assert {"cffi", "markdown-it-py", "grimp"} <= closure(declared())
