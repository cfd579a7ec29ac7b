"""Compiles source files to bytecode that is imported without the sources, which an image does not contain."""

import py_compile
from pathlib import Path
from py_compile import PycInvalidationMode

OPTIMIZE = 2


def compile_to(source: Path, target: Path, *, runs_as: str) -> None:
    """Write `target`, a .pyc that is imported without its source; `runs_as` is the path shown in tracebacks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    py_compile.compile(
        str(source),
        cfile=str(target),
        dfile=runs_as,
        doraise=True,
        optimize=OPTIMIZE,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
