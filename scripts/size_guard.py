"""Fails on files over 500 lines and Python functions over 60.

A function is counted from its `def` to its last line, including the docstring.

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
    """One line, `path:line: problem`, for each limit that `path` exceeds."""
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
    """Print all complaints; return the exit status. A folder without files to count is an error."""
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
