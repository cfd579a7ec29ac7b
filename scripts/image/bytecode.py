"""Compiles source files to bytecode that is imported without the sources, which an image does not contain."""

import ast
import marshal
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

OPTIMIZE = 2
UNCHECKED_HASH = b"\1\0\0\0"
"""Flags of a .pyc that is valid whatever its source; PEP 552."""


class WithoutTypes(ast.NodeTransformer):
    """Removes what only type checkers read: the annotations of functions, and the bodies of `if TYPE_CHECKING`.

    Annotations of classes define Structs.
    """

    def visit_If(self, node: ast.If) -> ast.AST:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node


def compile_to(source: Path, target: Path, *, runs_as: str, keeps_types: bool = True) -> None:
    """Write `target`, a .pyc that is imported without its source; `runs_as` is the path shown in tracebacks.

    Without `keeps_types`, what only type checkers read is removed: a fifteenth of the file.
    """
    data = source.read_bytes()
    tree = ast.parse(data, runs_as)
    if not keeps_types:
        tree = ast.fix_missing_locations(WithoutTypes().visit(tree))
    code = compile(tree, runs_as, "exec", dont_inherit=True, optimize=OPTIMIZE)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(MAGIC_NUMBER + UNCHECKED_HASH + source_hash(data) + marshal.dumps(code))
