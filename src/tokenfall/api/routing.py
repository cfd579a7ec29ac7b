"""Which handler answers which path, and what stands before it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from tokenfall.http.loadable import Loadable
    from tokenfall.http.request import Request
    from tokenfall.http.response import Answer, Response
    from tokenfall.wire.api_error import ApiError

    Refuse = Callable[[Request, ApiError], Response]
    Handler = Callable[[Request], Answer | Coroutine[Any, Any, Answer]]


class Route:
    """One method of one path. One part of it may be a parameter in braces: `/chat/turns/{turn}`.

    A parameter is one segment; with dots, `{model...}`, it may have slashes in it.

    `quiet`: answers are logged at debug level only, being asked for thousands of times a second or by probes.
    `request_logged`: kept by the simulator's journal, if that is on.
    `refuse` says what is wrong in the words of the path's own dialect; without it, a problem document does. Neither it
    nor `handler` is called before what the route `needs` is loaded.
    `private`: closed to pages of other sites where no API key protects it.
    `keyed`: asks for an API key. `limited`: spends of the address's rate. `open_while_draining`: answers to the end.
    """

    __slots__ = (
        "handler",
        "keyed",
        "limited",
        "method",
        "needs",
        "open_while_draining",
        "path",
        "private",
        "quiet",
        "refuse",
        "request_logged",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        path: str,
        *,
        handler: Handler,
        refuse: Refuse | None = None,
        needs: Loadable | None = None,
        **flags: bool,
    ) -> None:
        """`flags`: those above by their names; `keyed` where nothing is said, and nothing else."""
        self.method = method
        self.path = path
        self.handler = handler
        self.refuse = refuse
        self.needs = needs
        self.keyed = flags.pop("keyed", True)
        self.limited = flags.pop("limited", False)
        self.open_while_draining = flags.pop("open_while_draining", False)
        self.private = flags.pop("private", False)
        self.quiet = flags.pop("quiet", False)
        self.request_logged = flags.pop("request_logged", False)
        if flags:
            raise TypeError(f"a route has no flag {next(iter(flags))!r}")


class Router:
    """Routes by path: exact ones first, then those with a parameter. HEAD is served wherever GET is."""

    def __init__(self, routes: list[Route], *, words: Sequence[tuple[str, Refuse]] = ()) -> None:
        """`words` are how faults are told below some prefixes where there is no route."""
        self._words = words
        self._paths: dict[str, dict[str, Route]] = {}
        for route in routes:
            methods = self._paths.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"two routes for {route.method} {route.path}")
            methods[route.method] = route
            if route.method == "GET":
                methods.setdefault("HEAD", route)
        self._patterns = [
            (*_around(path), "...}" in path, methods) for path, methods in self._paths.items() if "{" in path
        ]

    def quiet_paths(self) -> frozenset[str]:
        """The paths whose answers are not worth a line."""
        return frozenset(path for path, methods in self._paths.items() if all(r.quiet for r in methods.values()))

    def methods(self, path: str) -> dict[str, Route]:
        """The routes of a path by method, empty when there is no such path."""
        return self._paths.get(path) or self._matching(path)

    def refuse_below(self, path: str) -> Refuse | None:
        """How faults are told at a path that has no route, None for a problem document."""
        return next((refuse for prefix, refuse in self._words if path.startswith(prefix)), None)

    def _matching(self, path: str) -> dict[str, Route]:
        for prefix, suffix, slashes, methods in self._patterns:
            if path.startswith(prefix) and path.endswith(suffix):
                value = path[len(prefix) : len(path) - len(suffix)]
                if value and (slashes or "/" not in value):
                    return methods
        return _NONE


def parameter(request: Request) -> str:
    """The value of the one parameter in the path of a request's route."""
    prefix, suffix = _around(request.route)
    return request.path[len(prefix) : len(request.path) - len(suffix)]


def _around(pattern: str) -> tuple[str, str]:
    """What stands before and after a pattern's parameter."""
    prefix, _, rest = pattern.partition("{")
    return prefix, rest.partition("}")[2]


_NONE: dict[str, Route] = {}
