"""Checks whether a module has been imported. Used for lazy loading."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def imported(name: str) -> "ModuleType | None":
    """The module if its import is complete, else None. During another thread's import, `import` would block."""
    module = sys.modules.get(name)
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return module
