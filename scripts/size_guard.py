"""Fails files over 500 lines and Python functions over 60.

Sizes are counted as an editor shows them: a file's lines, and a function from its `def` to its last line,
docstring and all. It only counts; what a long function should become is for its author to say.

Usage: size_guard.py FOLDER...
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
COUNTED_SUFFIXES = frozenset({".css", ".js", ".py"})


def counted_files(folder: Path) -> list[Path]:
    """The files under `folder` that have a limit, in a stable order."""
    return sorted(path for path in folder.rglob("*") if path.suffix in COUNTED_SUFFIXES and path.is_file())


def complaints(path: Path) -> Iterator[str]:
    """One line, `path:line: what`, for each limit that `path` breaks."""
    text = path.read_text(encoding="utf-8")
    file_lines = len(text.splitlines())
    if file_lines > MAX_FILE_LINES:
        yield f"{path}:1: {file_lines} lines in a file, at most {MAX_FILE_LINES}"
    if path.suffix == ".py":
        yield from _function_complaints(path, text)


def _function_complaints(path: Path, text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text, filename=str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            size = node.end_lineno - node.lineno + 1
            if size > MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {size} lines in {node.name}(), at most {MAX_FUNCTION_LINES}"


def main(arguments: list[str]) -> int:
    """Print every complaint and return the exit status; a folder with nothing to count is a mistake too."""
    found = 0
    for folder in map(Path, arguments):
        files = counted_files(folder)
        if not files:
            print(f"{folder}: no file to count", file=sys.stderr)
            return 2
        for complaint in (line for path in files for line in complaints(path)):
            print(complaint)
            found += 1
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
