"""Runs a module and writes down each file that it imports or reads of its packages. For the build of an image.

    python -S -m scripts.image.recorded LIST LEFT_OUT run MODULE [ARGUMENT ...]
    python -S -m scripts.image.recorded LIST LEFT_OUT import NAME ...

LIST is appended to, a path a line, at once: a process that is killed has written what it took. LEFT_OUT names modules
(parted by commas, "-" for none) that the image will not have: they cannot be found. `import` takes names that may be
no modules, and passes over what cannot be imported, with all that was imported for it. Nothing may be imported here
that the interpreter does not bring by itself: it would be taken for a part of the program.
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
    """Finds modules as `PathFinder` does, and writes their files down."""

    def __init__(self, fd: int, left_out: frozenset[str]) -> None:
        self._fd = fd
        self._left_out = left_out
        self._held: list[str] | None = None

    def find_spec(  # noqa: PLR0917 - the import system's own signature
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """None for what is left out, as if it were not installed."""
        if any(name == other or name.startswith(f"{other}.") for other in self._left_out):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.has_location and spec.origin is not None:
            self.write(spec.origin)
        return spec

    def write(self, path: str) -> None:
        """One line, in one call: the processes of a server share the list."""
        if self._held is None:
            os.write(self._fd, f"{path}\n".encode())
        else:
            self._held.append(path)

    def imports(self, name: str) -> None:
        """Import `name`, and write down its files only if it can be."""
        before = set(sys.modules)
        found: list[str] = []
        self._held = found
        try:
            __import__(name)
        except ModuleNotFoundError:
            found = []
            for incomplete in set(sys.modules) - before:
                del sys.modules[incomplete]
        self._held = None
        for path in found:
            self.write(path)

    def opened(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook: data files below `sys.path`, which lie beside the modules that read them."""
        if event != "open" or not isinstance(arguments[0], str) or arguments[0].endswith((".py", ".pyc", ".so")):
            return
        if arguments[0].startswith(tuple(f"{place}/" for place in sys.path if place)):
            self.write(arguments[0])


def main(arguments: "list[str]") -> None:
    """Run the module as `python -m` would."""
    record, left_out, action, *rest = arguments
    fd = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
    finder = RecordingFinder(fd, frozenset(left_out.split(",")))
    for loaded in list(sys.modules.values()):  # what the interpreter has loaded before it asked anybody
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
