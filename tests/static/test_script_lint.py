"""ESLint reports each forbidden construct in the page's JavaScript, and no violation in the existing files."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NPM = ROOT / "tests" / "npm"
PAGE = Path("src", "tokenfall", "web")

REFUSED = {
    "no-restricted-syntax": [
        # text parsed as HTML
        "box.innerHTML = text;",
        "box.outerHTML = text;",
        "box['innerHTML'] = text;",
        "box[`innerHTML`] = text;",
        "const where = 'innerHTML';\nbox[where] = text;",
        "Object.assign(box, { innerHTML: text });",
        "Object.assign(box, { 'outerHTML': text });",
        "Reflect.set(box, 'innerHTML', text);",
        "({ innerHTML: box.title } = text);",
        "const { innerHTML } = box;\nbox.title = innerHTML;",
        "box.insertAdjacentHTML('beforeend', text);",
        "box['insertAdjacentHTML']('beforeend', text);",
        "box.setHTMLUnsafe(text);",
        "box.setHTML(text);",
        "Document.parseHTMLUnsafe(text);",
        "new DOMParser();",
        "new window.DOMParser();",
        "document.createRange().createContextualFragment(text);",
        "box.srcdoc = text;",
        "box.setAttribute('srcdoc', text);",
        "document.writeln(text);",
        "const doc = box.ownerDocument;\ndoc.write(text);",
        "window.document.write(text);",
        "box.ownerDocument.write(text);",
        "box.contentDocument['write'](text);",
        # forbidden by the page's CSP
        "document.createElement('script');",
        "document.createElement('IFRAME');",
        "document.createElementNS('http://www.w3.org/1999/xhtml', 'style');",
        "box.setAttribute('onclick', text);",
        "box.setAttribute('ONERROR', text);",
        "box.setAttributeNS(null, 'onload', text);",
        "document.createAttribute('onclick');",
        "box.setAttribute('style', text);",
        "box.setAttributeNS(null, 'style', text);",
        # evaluation of strings
        "box.run = new window.Function(text);",
        "box.run = globalThis['Function'](text);",
        "box.href = `javascript:${text}`;",
        "box.href = 'data:text/html,hello';",
        # persistent storage
        "localStorage.clear();",
        "window.localStorage.clear();",
        "window['localStorage'].clear();",
        "const { localStorage: kept } = window;\nkept.clear();",
        "indexedDB.open(text);",
        "document.cookie = text;",
        "document['cookie'] = text;",
        # third-party code
        "import 'https://example.org/there.js';",
        "import { there } from 'there';\nthere();",
        "await import(text);",
    ],
    "no-restricted-properties": [
        "document.write(text);",
        "document['write'](text);",
        "const { write } = document;\nwrite(text);",
    ],
    "no-restricted-globals": ["box.title = status;", "event.preventDefault();"],
    "no-eval": ["eval(text);", "window.eval(text);", "(0, eval)(text);"],
    "no-implied-eval": [
        "setTimeout('box()', 1);",
        "window.setInterval(`box()`, 1);",
        "setTimeout('box(' + text + ')');",
    ],
    "no-new-func": ["box.run = new Function(text);", "box.run = Function(text);", "Function.call(null, text);"],
    "no-script-url": ["box.href = 'javascript:box()';", "box.href = 'JavaScript:box()';"],
    "no-useless-concat": ["box['inner' + 'HTML'] = text;"],
    "no-alert": ["alert(text);", "window.confirm(text);"],
    "no-console": ["console.log(text);", "console.warn(text);", "console['debug'](text);"],
    "no-var": ["var left = text;\nbox(left);"],
    "prefer-const": ["let left = text;\nbox(left);"],
    "eqeqeq": ["box(text == 1);", "box(text != null);"],
    "no-unused-vars": ["const left = text;"],
    "no-undef": ["box(nothing);", "box(process.env);", "require(text);"],
    "no-shadow": ["export const keep = (box) => box;"],
    "max-lines": ["box(text);\n" * 301],
    "max-lines-per-function": ["export function long() {\n" + "  box(text);\n" * 59 + "}"],
    "complexity": ["export const many = (n) => " + " ".join(f"n === {n} ? {n} :" for n in range(12)) + " 12;"],
    "max-params": ["export const five = (a, b, c, d, e) => [a, b, c, d, e];"],
}
ALLOWED = [
    "box.textContent = text;\nbox.append(text, document.createElement('p'));",
    "box.setAttribute('aria-label', 'on');\nbox.setAttribute('href', 'https://example.org/');",
    "box.style.width = '1px';\nbox.style.setProperty('--at', text);",
    "box.addEventListener('click', () => setTimeout(() => box.focus(), 1));\nbox.onclick = null;",
    "sessionStorage.setItem('draft', text);",
    "await navigator.clipboard.writeText(text);\nawait navigator.clipboard.write([]);",
    "import { writeTab } from './tab_storage.js';\nwriteTab('draft', text);",
    "console.error(text);",
    "// innerHTML, eval and localStorage are words here\nbox('no innerHTML, no cookie');",
    "export function long() {\n" + "  box(text);\n" * 58 + "}",
]
PLANTED = [(rule, code) for rule, codes in REFUSED.items() for code in codes] + [("", code) for code in ALLOWED]
GIVEN = "const [box, text] = [() => {}, new URLSearchParams(location.search).get('text')];\nbox(text);\n"

ON_THIS_DEVICE = "localStorage.clear();"
DEVICE = ("device_storage.js", "theme.js")
"""The files that may use persistent storage."""

DISABLED = "/* eslint no-eval: 'off' */\n// eslint-disable-next-line\neval(location.search);\n"


def lint(folder: Path, *paths: Path | str) -> dict[Path, list[dict[str, Any]]]:
    """The messages of ESLint for each file in `folder`, a copy of the repository layout."""
    node = shutil.which("node")
    assert node, "node is missing: scripts/system-packages lint"
    eslint = NPM / "node_modules" / "eslint" / "bin" / "eslint.js"
    assert eslint.is_file(), "make lint installs it"
    done = subprocess.run(
        [node, eslint, "--config", NPM / "eslint.config.mjs", "--format", "json", *paths],
        cwd=folder,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return {Path(file["filePath"]): file["messages"] for file in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[set[str]]:
    """The rules that each snippet of PLANTED violates, followed by those that DISABLED violates."""
    folder = tmp_path_factory.mktemp("page").resolve()
    (folder / PAGE).mkdir(parents=True)
    codes = [f"{GIVEN}{code}\n" for _, code in PLANTED]
    files = [folder / PAGE / f"{number}.js" for number in range(len(codes) + 1)]
    for file, code in zip(files, [*codes, DISABLED], strict=True):
        file.write_text(code, encoding="utf-8")
    found = lint(folder, PAGE)
    return [{message["ruleId"] or message["message"] for message in found[file]} for file in files]


@pytest.mark.parametrize(
    "number", range(len(PLANTED)), ids=[f"{rule or 'allowed'}-{code[:30]}" for rule, code in PLANTED]
)
def test_forbidden_construct_violates_only_its_rule(planted: list[set[str]], number: int) -> None:
    rule, code = PLANTED[number]
    assert planted[number] == ({rule} if rule else set()), code


def test_rules_cannot_be_disabled_by_comments(planted: list[set[str]]) -> None:
    assert "no-eval" in planted[-1]


def test_only_two_files_use_persistent_storage(tmp_path: Path) -> None:
    (tmp_path / PAGE).mkdir(parents=True)
    for name in (*DEVICE, "other.js"):
        (tmp_path / PAGE / name).write_text(f"{GIVEN}{ON_THIS_DEVICE}\nbox.innerHTML = text;\n", encoding="utf-8")
    found = lint(tmp_path.resolve(), PAGE)

    assert {file.name: len(messages) for file, messages in found.items()} == {**dict.fromkeys(DEVICE, 1), "other.js": 2}


def test_page_violates_no_rule() -> None:
    found = lint(ROOT, PAGE)
    assert {file.name for file in found} == {file.name for file in (ROOT / PAGE).rglob("*.js")}
    broken = [f"{file.name}:{each['line']} {each['message']}" for file, messages in found.items() for each in messages]
    assert not broken, "\n".join(broken)
