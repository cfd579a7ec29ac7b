"""The modules that functions import at their first call, read from their sources. For the build of an image.

Such a function may not be reached by any request that the build makes; what it names is in the image all the same.
"""

import ast
from collections.abc import Iterable
from pathlib import Path


def named(files: Iterable[Path]) -> set[str]:
    """What the functions in these source files import; some are no modules but names in one."""
    found: set[str] = set()
    for file in files:
        found |= named_in_functions(file.read_text(encoding="utf-8"))
    return {name for name in found if not name.startswith("__")}


def named_in_functions(source: str) -> set[str]:
    """The modules that are imported inside functions, and what is taken from them, which may be modules as well."""
    functions = [one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    names: set[str] = set()
    for node in (node for function in functions for node in ast.walk(function)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
