"""Tests use public interfaces: no test reads a private name of another module, a library or another object."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PUBLIC_BY_DOCUMENTATION = {
    "_FuncPointer": "the type of a C function pointer in type hints of ctypes",
    "_asdict": "documented method of named tuples",
    "_exit": "documented function of os",
    "_fields": "documented attribute of named tuples",
    "_getframe": "documented function of sys",
    "_replace": "documented method of named tuples",
    "_set_running_loop": "asyncio's function for drivers of another loop, such as Playwright",
    "_streaming": "the SSE decoders of the provider SDKs have no other name",
}
OWN = {"self", "cls", "super()"}


def private_names(source: str) -> Iterator[tuple[int, str]]:
    """The line and text of each private name that is imported or read from an object other than `self`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) not in OWN:
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, name.name) for name in node.names if is_private(name.name))
        elif isinstance(node, ast.Call) and called(node) in {"getattr", "setattr", "delattr"}:
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            private = [name for name in names if isinstance(name, str) and is_private(name.rpartition(".")[2])]
            yield from ((node.lineno, name) for name in private)


def called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_" and name not in PUBLIC_BY_DOCUMENTATION


@pytest.mark.parametrize(
    "source",
    [
        "assert limiter._tat == {}",
        "self.server._connections.clear()",
        "from tokenfall.metrics.shared import _HALF_BYTES",
        "monkeypatch.setattr(logs, '_output', None)",
        "monkeypatch.setattr('tokenfall.logs._output', None)",
        "getattr(turns, '_sweep')",
    ],
)
def test_private_name_is_found(source: str) -> None:
    assert list(private_names(source))


@pytest.mark.parametrize("source", ["self._sent += 1", "super()._run()", "os._exit(0)", "each.__init__", "_helper()"])
def test_own_or_documented_name_is_allowed(source: str) -> None:
    assert not list(private_names(source))


def test_no_test_reads_a_private_name() -> None:
    files = sorted(each for each in TESTS.rglob("*.py") if "node_modules" not in each.parts)
    found = [
        f"{path.relative_to(TESTS.parent)}:{line}: {text}"
        for path in files
        for line, text in private_names(path.read_text(encoding="utf-8"))
    ]

    assert len(files) > 300
    assert not found, "\n".join(found)
