"""Tokenfall inside somebody's tests: a real server, in a thread or a process of its own, and its controls.

    with serve(sim="ttft=10ms") as server:
        client = openai.OpenAI(base_url=server.openai_url, api_key="any")

Works without pytest; `tokenfall.testing.plugin` makes fixtures of it. pytest loads this package at every start, also
where nobody uses it: so nothing is imported here before a name is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenfall.testing.control import ControlRefused, ServerGone
    from tokenfall.testing.gate import Gate
    from tokenfall.testing.server import SeenRequest, TokenfallServer
    from tokenfall.testing.serving import serve

__all__ = ["ControlRefused", "Gate", "SeenRequest", "ServerGone", "TokenfallServer", "serve"]

_HOMES = {
    "ControlRefused": "control",
    "Gate": "gate",
    "SeenRequest": "server",
    "ServerGone": "control",
    "TokenfallServer": "server",
    "serve": "serving",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
