"""Which modules have been imported. Knows nothing else of this program."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def imported(name: str) -> "ModuleType | None":
    """The module, once its import has ended. While another thread imports it, an `import` of it here would wait."""
    module = sys.modules.get(name)
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return module
