"""Runs a module and records each file that it imports or reads from its packages. Part of the image build.

    python -S -m scripts.image.recorder LIST EXCLUDED run MODULE [ARGUMENT ...]
    python -S -m scripts.image.recorder LIST EXCLUDED import NAME ...

Each path is appended to LIST at once, on its own line, so that the record of a killed process is complete. EXCLUDED are
modules, separated by commas ("-" for none), that the image does not have: importing them fails. `import` accepts names
that are not modules; if a name cannot be imported, nothing that was imported for it is recorded. This module may import
only modules that the interpreter has loaded itself; any other would be recorded as part of the program.
"""

import os
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class RecordingFinder:
    """Finds modules as `PathFinder` does, and records their files."""

    def __init__(self, fd: int, excluded: frozenset[str]) -> None:
        self._fd = fd
        self._excluded = excluded
        self._buffered: list[str] | None = None

    def find_spec(  # noqa: PLR0917 - the import system's own signature
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """None for an excluded module, as if it were not installed."""
        if any(name == other or name.startswith(f"{other}.") for other in self._excluded):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.has_location and spec.origin is not None:
            self.write(spec.origin)
        return spec

    def write(self, path: str) -> None:
        """Write a line in one call, because the processes of a server share the list."""
        if self._buffered is None:
            os.write(self._fd, f"{path}\n".encode())
        else:
            self._buffered.append(path)

    def imports(self, name: str) -> None:
        """Import `name`; record its files only if that succeeds."""
        before = set(sys.modules)
        found: list[str] = []
        self._buffered = found
        try:
            __import__(name)
        except ModuleNotFoundError:
            found = []
            for incomplete in set(sys.modules) - before:
                del sys.modules[incomplete]
        self._buffered = None
        for path in found:
            self.write(path)

    def opened(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook: record data files below `sys.path`, which are stored beside the modules that read them."""
        if event != "open" or not isinstance(arguments[0], str) or arguments[0].endswith((".py", ".pyc", ".so")):
            return
        if arguments[0].startswith(tuple(f"{place}/" for place in sys.path if place)):
            self.write(arguments[0])


def main(arguments: "list[str]") -> None:
    """Run the module as `python -m` would."""
    record, excluded, action, *rest = arguments
    fd = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
    finder = RecordingFinder(fd, frozenset(excluded.split(",")))
    for loaded in list(sys.modules.values()):  # modules that the interpreter loaded before the finder was installed
        spec = getattr(loaded, "__spec__", None)
        if spec is not None and spec.has_location and spec.name != __spec__.name:
            finder.write(spec.origin)
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, finder]
    sys.addaudithook(finder.opened)
    if action == "import":
        for name in rest:
            finder.imports(name)
        return
    sys.argv = rest
    from runpy import run_module  # noqa: PLC0415 - frozen

    run_module(rest[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
