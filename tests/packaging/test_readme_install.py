"""The README's section for tests, run as written in a copy of the checkout and a fresh virtual environment."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COPIED = ("src", "examples", "pyproject.toml", "README.md", "LICENSE")
INSTALL_S = 300.0

pytestmark = pytest.mark.timeout(2 * INSTALL_S)


def blocks(heading: str, language: str) -> list[str]:
    """The fenced blocks of a section."""
    section = README.partition(f"### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables whose PATH begins with an empty virtual environment."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True, symlinks=True)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "LANG", "HOME"))}
    constraints = str(ROOT / "constraints.txt")
    return {**kept, "PATH": f"{folder}/bin:{os.environ['PATH']}", "PIP_CONSTRAINT": constraints}


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(checkout: Path, environment: dict[str, str]) -> str:
    """The output of the README's commands: installation, then the examples."""
    (commands,) = blocks("A server in your tests", "sh")
    return run(["bash", "-e", "-c", commands], checkout, environment)


def test_readme_commands_install_the_package_and_run_the_examples(installed: str) -> None:
    (expected,) = blocks("A server in your tests", "text")
    assert expected.strip(". \n").removesuffix(" in") in installed.splitlines()[-1]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("text", blocks("A server in your tests", "python"), ids=["fixture", "serve"])
def test_readme_python_runs_in_the_fresh_environment(text: str, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "test_snippet.py").write_text(text, encoding="utf-8")
    is_test = "def test_" in text
    output = run(["pytest"] if is_test else ["python", "test_snippet.py"], tmp_path, environment)

    assert ("1 passed" if is_test else 'data: {"content":"Large ","finish":false}') in output
    assert sys.prefix not in output
