"""One version: what the package says, what the project says."""

import tomllib
from pathlib import Path

import tokenfall

ROOT = Path(__file__).parents[2]


def test_the_package_and_the_project_have_the_same_version() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tokenfall.__version__ == tomllib.load(file)["project"]["version"]
