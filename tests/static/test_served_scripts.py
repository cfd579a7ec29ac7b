"""The scripts served without comments and indentation have the same tokens as their source files."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from tokenfall.api.page import WEB, Page

from tests.doubles.requests import request

ROOT = Path(__file__).parents[2]
ACORN = ROOT / "tests" / "npm" / "node_modules" / "acorn" / "dist" / "acorn.mjs"

DIFFERENCES = """
import { readFileSync } from 'node:fs';
import { tokenizer } from %s;

const options = { ecmaVersion: 'latest', sourceType: 'module', locations: true };
const tokens = (text, onComment) => [...tokenizer(text, { ...options, onComment })]
  .map(({ type, value, loc }) => JSON.stringify([type.label, String(value), loc.start.line]));
const different = JSON.parse(readFileSync(0, 'utf8')).filter(([, source, served]) => {
  const comments = [];
  const [before, after] = [tokens(source), tokens(served, comments)];
  return comments.length > 0 || before.length < 3 || before.length !== after.length
    || before.some((token, at) => token !== after[at]);
});
console.log(JSON.stringify(different.map(([name]) => name)));
"""
"""Reads [[name, source, served]] and prints the names of the files with comments, or with different tokens or lines."""


def different(files: list[tuple[str, str, str]]) -> list[str]:
    node = shutil.which("node")
    assert node, "node is missing: scripts/system-packages lint"
    done = subprocess.run(
        [node, "--input-type=module", "--eval", DIFFERENCES % json.dumps(ACORN.as_uri())],
        input=json.dumps(files),
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(done.stdout))


def test_served_scripts_have_the_tokens_of_their_source() -> None:
    page = Page()
    scripts = {path: name for path, name in page.files.items() if name.endswith(".js")}
    files = [
        (name, Path(WEB, name).read_text(encoding="utf-8"), page.serve(request(path)).body.decode())
        for path, name in scripts.items()
    ]

    assert [name for name, source, served in files if source == served] == []
    assert different(files) == []
    assert different([("cut.js", "const a = ' // b' + 1;", "const a = '1;'")]) == ["cut.js"]
    assert different([("kept.js", "const a = 1; // b", "const a = 1; // b")]) == ["kept.js"]
    assert different([("text.js", "const a = `\n  b`;", "const a = `\nb`;")]) == ["text.js"]
