"""Which handler answers which path, and what stands before it."""

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct

from tokenfall.edge.request import Request
from tokenfall.edge.response import Answer

Handler = Callable[[Request], Answer | Coroutine[Any, Any, Answer]]


class Route(Struct, frozen=True, kw_only=True):
    """One method of one path.

    `quiet`: answers are logged at debug level only, being asked for thousands of times a second or by probes.
    `keyed`: asks for an API key. `limited`: spends of the address's rate. `open_while_draining`: answers to the end.
    """

    method: str
    path: str
    handler: Handler
    keyed: bool = True
    limited: bool = False
    open_while_draining: bool = False
    quiet: bool = False


class Router:
    """Routes by exact path. HEAD is served wherever GET is."""

    def __init__(self, routes: list[Route]) -> None:
        self._paths: dict[str, dict[str, Route]] = {}
        for route in routes:
            methods = self._paths.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"two routes for {route.method} {route.path}")
            methods[route.method] = route
            if route.method == "GET":
                methods.setdefault("HEAD", route)

    def quiet_paths(self) -> frozenset[str]:
        """The paths whose answers are not worth a line."""
        return frozenset(path for path, methods in self._paths.items() if all(r.quiet for r in methods.values()))

    def methods(self, path: str) -> dict[str, Route]:
        """The routes of a path by method, empty when there is no such path."""
        return self._paths.get(path, _NONE)


_NONE: dict[str, Route] = {}
