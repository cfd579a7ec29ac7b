"""The bundle of a page's modules behaves as the modules; unsupported syntax is refused."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tokenfall.api.page import WEB

from tests.browser.bundle import ENTRIES, bundle, bundled_pages

MODULES = {
    "app.js": "import { twice as double } from './twice.js';\nimport { LIMIT, numbers } from './limit.js';\n"
    "import { order } from './order.js';\n"
    "order.push('app');\nconsole.log(JSON.stringify([double(3), limit(), [...numbers()], order]));\n"
    "function limit() { return LIMIT; }\n",
    "twice.js": "import { order } from './order.js';\norder.push('twice');\nconst own = 2;\n"
    "export function twice(value) {\n  return own * value;\n}\n",
    "limit.js": "import { order } from './order.js';\norder.push('limit');\nexport const LIMIT = 7;\n"
    "export function* numbers() { yield LIMIT; }\nexport class Unused {}\nexport async function also() {}\n",
    "order.js": "export const order = [];\n",
}


def test_bundle_runs_each_module_once_and_before_those_that_import_it(tmp_path: Path) -> None:
    (tmp_path / "bundle.mjs").write_text(bundle("app.js", MODULES.__getitem__))
    node = shutil.which("node")
    assert node, "node is missing: scripts/system-packages lint"
    output = subprocess.run([node, tmp_path / "bundle.mjs"], capture_output=True, text=True, check=True).stdout
    assert json.loads(output) == [6, 7, [7], ["twice", "limit", "app"]]


@pytest.mark.parametrize(
    "text",
    ["import fs from 'fs';", "import './other.js';", "export default 3;", "export { a };", "import {\n  a } from 'a';"],
)
def test_bundle_refuses_unsupported_imports_and_exports(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"app.js: {text.splitlines()[0]}")):
        bundle("app.js", {"app.js": text}.__getitem__)


def test_bundle_refuses_modules_that_import_each_other() -> None:
    modules = {"a.js": "import { b } from './b.js';", "b.js": "import { a } from './a.js';"}
    with pytest.raises(ValueError, match=r"a\.js imports b\.js imports a\.js"):
        bundle("a.js", modules.__getitem__)


def test_bundled_pages_have_every_file_and_import_nothing(tmp_path: Path) -> None:
    folder = bundled_pages(Path(WEB), tmp_path / "web")
    assert {path.name for path in folder.iterdir()} == {path.name for path in Path(WEB).iterdir()}
    for entry in ENTRIES:
        assert not re.search(r"^(import|export)\b", (folder / entry).read_text(encoding="utf-8"), re.MULTILINE)
