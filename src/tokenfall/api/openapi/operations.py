"""All operations by name; `Route.operation` is one of these names."""

from tokenfall.api.openapi.chat import CHAT
from tokenfall.api.openapi.operation import Operation
from tokenfall.api.openapi.pages import PAGES
from tokenfall.api.openapi.providers import PROVIDERS
from tokenfall.api.openapi.simulator import SIMULATOR

OPERATIONS: dict[str, Operation] = {**CHAT, **SIMULATOR, **PAGES, **PROVIDERS}
