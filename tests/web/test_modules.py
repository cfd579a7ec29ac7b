"""The page's modules without a page: each `.test.mjs` here is one test, run by node's own runner.

Files of the page end in `.js`, which node takes for CommonJS unless a package.json beside them says otherwise. What is
served has none; so the tests run in a copy of what is served and of this folder, under a package.json that says so.
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
SLOW = {"growing.test.mjs", "highlight.test.mjs", "inline.test.mjs", "markdown.test.mjs"}
FILES = sorted(path.name for path in (ROOT / HERE).glob("*.test.mjs"))
SUMMARY = re.compile(r"^(?:#|ℹ) (tests|cancelled|skipped|todo) (\d+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    house = tmp_path_factory.mktemp("modules").resolve()
    (house / "package.json").write_text(json.dumps({"type": "module"}), encoding="utf-8")
    shutil.copytree(ROOT / HERE, house / HERE, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (house / PAGE).mkdir(parents=True)
    page = Page()
    for path, name in page.files.items():
        (house / PAGE / name).write_bytes(page.serve(request(path)).body)
    return house


def run(house: Path, file: str) -> tuple[int, str]:
    """The exit status, and what was said, with paths as they are in the repository."""
    node = shutil.which("node")
    assert node, "node is missing: scripts/system-packages lint"
    done = subprocess.run(
        [node, "--test-reporter=spec", HERE / file],
        cwd=house,
        env={"PATH": os.defpath, "TZ": "Pacific/Apia"},  # a time zone that shows where local time slips in
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.replace(f"file://{house}/", "").replace(f"{house}/", "")


def complaint(status: int, said: str) -> str:
    """What is wrong with a run; empty when all of its tests ran and passed."""
    counts = {what: int(number) for what, number in SUMMARY.findall(said)}
    if not counts.pop("tests", 0):
        return f"no test ran, exit status {status}\n{said}"
    if status == 0 and not any(counts.values()):
        return ""
    return f"exit status {status}\n{said.rpartition('failing tests:')[2] or said}"


@pytest.mark.timeout(180)  # some try thousands of texts
@pytest.mark.parametrize("file", [pytest.param(f, marks=[pytest.mark.slow] * (f in SLOW)) for f in FILES])
def test_module(copied: Path, file: str) -> None:
    told = complaint(*run(copied, file))
    if told:
        pytest.fail(told, pytrace=False)


BROKEN = {
    "fails": ("test('adds', () => assert.equal(1 + 1, 3));", "adds"),
    "throws-at-import": ("throw new Error('planted');", "planted"),
    "imports-nothing-there": ("import './nothing.js';", "nothing.js"),
    "has-no-tests": ("assert.ok(true);", "no test ran"),
    "skips": ("test.skip('later', () => {});", "later"),
    "is-to-do": ("test.todo('later');", "later"),
    "never-ends-its-test": ("test('waits', () => new Promise(() => {}));", "waits"),
    "rejects-behind-its-back": ("test('ends', () => { Promise.reject(new Error('planted')); });", "planted"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that(copied: Path, name: str) -> None:
    code, named = BROKEN[name]
    file = f"{name}.test.mjs"
    head = "import assert from 'node:assert/strict';\nimport { test } from 'node:test';\nassert(test);\n"
    (copied / HERE / file).write_text(head + code, encoding="utf-8")
    told = complaint(*run(copied, file))
    assert named in told
    assert str(copied) not in told
