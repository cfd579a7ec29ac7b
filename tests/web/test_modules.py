"""Unit tests of the page's JavaScript modules: each `.test.mjs` file here is one test case, run by node's test runner.

node treats `.js` files as CommonJS unless a package.json declares ES modules, and the served files have none. Therefore
the tests run in a copy of the served files and of this folder, with such a package.json.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tokenfall.api.page import Page

from tests.doubles.requests import request

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent.relative_to(ROOT)
PAGE = Path("src", "tokenfall", "web")
SLOW = {"streaming_markdown.test.mjs", "highlight.test.mjs", "inline.test.mjs", "markdown.test.mjs"}
FILES = sorted(path.name for path in (ROOT / HERE).glob("*.test.mjs"))
SUMMARY = re.compile(r"^(?:#|ℹ) (tests|cancelled|skipped|todo) (\d+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modules").resolve()
    (folder / "package.json").write_text(json.dumps({"type": "module"}), encoding="utf-8")
    shutil.copytree(ROOT / HERE, folder / HERE, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / PAGE).mkdir(parents=True)
    page = Page()
    for path, name in page.files.items():
        (folder / PAGE / name).write_bytes(page.serve(request(path)).body)
    return folder


def run(folder: Path, file: str) -> tuple[int, str]:
    """Run one file. Returns the exit status and the output, with paths relative to the repository."""
    node = shutil.which("node")
    assert node, "node is missing: scripts/system-packages lint"
    done = subprocess.run(
        [node, "--test-reporter=spec", HERE / file],
        cwd=folder,
        env={"PATH": os.defpath, "TZ": "Pacific/Apia"},  # a zone far from UTC, which reveals the use of local time
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.replace(f"file://{folder}/", "").replace(f"{folder}/", "")


def failure_of(status: int, output: str) -> str:
    """A description of the failure; empty if all tests ran and passed."""
    counts = {what: int(number) for what, number in SUMMARY.findall(output)}
    if not counts.pop("tests", 0):
        return f"no test ran, exit status {status}\n{output}"
    if status == 0 and not any(counts.values()):
        return ""
    return f"exit status {status}\n{output.rpartition('failing tests:')[2] or output}"


@pytest.mark.timeout(180)  # some files test thousands of generated texts
@pytest.mark.parametrize("file", [pytest.param(f, marks=[pytest.mark.slow] * (f in SLOW)) for f in FILES])
def test_module(workspace: Path, file: str) -> None:
    failure = failure_of(*run(workspace, file))
    if failure:
        pytest.fail(failure, pytrace=False)


BROKEN = {
    "fails": ("test('adds', () => assert.equal(1 + 1, 3));", "adds"),
    "throws-at-import": ("throw new Error('planted');", "planted"),
    "missing-import": ("import './nothing.js';", "nothing.js"),
    "has-no-tests": ("assert.ok(true);", "no test ran"),
    "skips": ("test.skip('later', () => {});", "later"),
    "is-to-do": ("test.todo('later');", "later"),
    "never-ends-its-test": ("test('waits', () => new Promise(() => {}));", "waits"),
    "unhandled-rejection": ("test('ends', () => { Promise.reject(new Error('planted')); });", "planted"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_defective_test_file_fails(workspace: Path, name: str) -> None:
    code, named = BROKEN[name]
    file = f"{name}.test.mjs"
    head = "import assert from 'node:assert/strict';\nimport { test } from 'node:test';\nassert(test);\n"
    (workspace / HERE / file).write_text(head + code, encoding="utf-8")
    failure = failure_of(*run(workspace, file))
    assert named in failure
    assert str(workspace) not in failure
