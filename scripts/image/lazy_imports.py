"""Finds the modules that functions import, by parsing their sources. Part of the image build.

The build may not reach every such function, but the image must contain the modules that they import.
"""

import ast
from collections.abc import Iterable
from pathlib import Path


def lazy_imports(files: Iterable[Path]) -> set[str]:
    """The names that functions in these source files import; some are not modules but names in one."""
    found: set[str] = set()
    for file in files:
        found |= imports_in_functions(file.read_text(encoding="utf-8"))
    return {name for name in found if not name.startswith("__")}


def imports_in_functions(source: str) -> set[str]:
    """The modules that are imported inside functions, and the names imported from them, which may be modules too."""
    functions = [one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    names: set[str] = set()
    for node in (node for function in functions for node in ast.walk(function)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
