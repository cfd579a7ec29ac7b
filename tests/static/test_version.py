"""The package and pyproject.toml have the same version."""

import tomllib
from pathlib import Path

import tokenfall

ROOT = Path(__file__).parents[2]


def test_package_and_project_have_the_same_version() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tokenfall.__version__ == tomllib.load(file)["project"]["version"]
