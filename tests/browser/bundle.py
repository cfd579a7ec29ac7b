"""The pages with the modules of each in one file.

A page has some 70 modules, and the browser of a test has an empty cache: half of the processor time of a page load goes
into fetching them one by one. In the bundle each module is a function of its own, called in the order in which modules
are evaluated. Tests of the page's surroundings (test_shell, test_subpath) load the single files.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

ENTRIES = ("app.js", "dashboard.js")

_IMPORT = re.compile(r"^import \{([^}]*)\} from '\./(\w+\.js)';$", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const)\b\*? (\w+))", re.MULTILINE)
_UNKNOWN = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundled_pages(source: Path, folder: Path) -> Path:
    """Copies the pages to `folder`, with all imported modules inlined into the entry scripts. Returns `folder`."""
    shutil.copytree(source, folder)
    for entry in ENTRIES:
        (folder / entry).write_text(bundle(entry, lambda name: _text(source / name)), encoding="utf-8")
    return folder


def bundle(entry: str, read: Callable[[str], str]) -> str:
    """One module equivalent to `entry`. Raises ValueError for an unsupported form of import or export."""
    parts: dict[str, str] = {}
    _add(entry, read, parts, ())
    return "\n".join(["const $modules = {};", *parts.values()])


def _add(name: str, read: Callable[[str], str], parts: dict[str, str], importing: tuple[str, ...]) -> None:
    """Appends a module after the modules that it imports."""
    if name in importing:
        raise ValueError(f"{' imports '.join((*importing, name))}: modules of a cycle have no order")
    text = read(name)
    for _, imported in _IMPORT.findall(text):
        if imported not in parts:
            _add(imported, read, parts, (*importing, name))
    exported = ", ".join(_EXPORT.findall(text))
    body = _EXPORT.sub("", _IMPORT.sub(_bound, text))
    if unknown := _UNKNOWN.search(body):
        raise ValueError(f"{name}: {unknown[0]}")
    parts[name] = f"$modules['{name}'] = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"


def _bound(found: re.Match[str]) -> str:
    names, module = found.groups()
    return f"const {{{names.replace(' as ', ': ')}}} = $modules['{module}'];"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
