"""Tokenfall as a test double: a real server, in a thread or a child process, and its controls.

    with serve(sim="ttft=10ms") as server:
        client = openai.OpenAI(base_url=server.openai_url, api_key="any")

It works without pytest; `tokenfall.testing.plugin` provides fixtures. Submodules are imported lazily, because pytest
imports this package at every start, even if no test uses it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenfall.testing.control import ControlRefused, ServerGone
    from tokenfall.testing.gate import Gate
    from tokenfall.testing.server import SeenRequest, TokenfallServer
    from tokenfall.testing.serving import serve

__all__ = ["ControlRefused", "Gate", "SeenRequest", "ServerGone", "TokenfallServer", "serve"]

_MODULES = {
    "ControlRefused": "control",
    "Gate": "gate",
    "SeenRequest": "server",
    "ServerGone": "control",
    "TokenfallServer": "server",
    "serve": "serving",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
