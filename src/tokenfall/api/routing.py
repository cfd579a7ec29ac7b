"""Maps paths to handlers and to the checks before them. `tokenfall.api.app` performs the checks."""

from __future__ import annotations

from tokenfall.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from tokenfall.http.loadable import Loadable
    from tokenfall.http.request import Request
    from tokenfall.http.response import AnyResponse, Response
    from tokenfall.wire.api_error import ApiError

    Refuse = Callable[[Request, ApiError], Response]
    Handler = Callable[[Request], AnyResponse | Coroutine[Any, Any, AnyResponse]]


class Route:
    """One method of one path. The path may have one parameter in braces: `/chat/turns/{turn}`.

    A parameter is one path segment; with dots, `{model...}`, it may contain slashes.

    `operation` names the description of the route in `tokenfall.api.openapi`: its body, responses and failures.

    `refuse` encodes an error in the dialect of the path; without it, errors are problem documents. Neither it nor
    `handler` is called before `needs` is loaded.

    `keyed`: requires an API key.
    `limited`: counts against the rate limit of the client address.
    `open_while_draining`: also served while the server drains.
    `for_pages`: called by the chat page and the dashboard; the dashboard does not count its successful requests.
    `private`: refuses pages of other sites, if no API key protects it.
    `quiet`: called often, by probes or load tests; above debug level, only its errors are logged.
    `request_logged`: added to the simulator's request log, if that is on.
    """

    __slots__ = (
        "for_pages",
        "handler",
        "keyed",
        "limited",
        "method",
        "needs",
        "open_while_draining",
        "operation",
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
        operation: str,
        handler: Handler,
        refuse: Refuse | None = None,
        needs: Loadable | None = None,
        **flags: bool,
    ) -> None:
        """`flags`: those above, by name. Only `keyed` is true by default."""
        self.method = method
        self.path = path
        self.operation = operation
        self.handler = handler
        self.refuse = refuse
        self.needs = needs
        self.keyed = flags.pop("keyed", True)
        self.limited = flags.pop("limited", False)
        self.open_while_draining = flags.pop("open_while_draining", False)
        self.for_pages = flags.pop("for_pages", False)
        self.private = flags.pop("private", False)
        self.quiet = flags.pop("quiet", False)
        self.request_logged = flags.pop("request_logged", False)
        if flags:
            raise TypeError(f"a route has no flag {next(iter(flags))!r}")


class ErrorEncoder(Record):
    """Encodes the errors of a path in a dialect. `refuse` must not be called before `needs` is loaded."""

    refuse: Refuse
    needs: Loadable | None = None


class Router:
    """Routes by path: exact ones first, then those with a parameter. HEAD is served wherever GET is."""

    def __init__(self, routes: list[Route], *, error_encoders: Sequence[tuple[str, ErrorEncoder]] = ()) -> None:
        """`error_encoders` encode errors of paths without a route, by path prefix: the first that matches is used.

        A prefix ends with a slash; it matches the path without that slash, too.
        """
        self._error_encoders = error_encoders
        self._paths: dict[str, dict[str, Route]] = {}
        for route in routes:
            methods = self._paths.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"two routes for {route.method} {route.path}")
            methods[route.method] = route
            if route.method == "GET":
                methods.setdefault("HEAD", route)
        self._patterns = [
            (*_prefix_and_suffix(path), "...}" in path, methods) for path, methods in self._paths.items() if "{" in path
        ]

    def quiet_paths(self) -> frozenset[str]:
        """The paths whose routes are all quiet."""
        return frozenset(path for path, methods in self._paths.items() if all(r.quiet for r in methods.values()))

    def page_paths(self) -> frozenset[str]:
        """The paths whose routes are all for pages."""
        return frozenset(path for path, methods in self._paths.items() if all(r.for_pages for r in methods.values()))

    def methods(self, path: str) -> dict[str, Route]:
        """The routes of a path by method, empty if there are none."""
        return self._paths.get(path) or self._matching(path)

    def error_encoder_of(self, path: str, method: str) -> ErrorEncoder | None:
        """The error encoder of a route, else of any route of the path, else of the prefix; None for problem documents.

        So clients of a dialect also get its errors for unknown paths and unsupported methods.
        """
        methods = self.methods(path)
        if not methods:
            return next((encoder for prefix, encoder in self._error_encoders if f"{path}/".startswith(prefix)), None)
        route = methods.get(method) or next(iter(methods.values()))
        return None if route.refuse is None else ErrorEncoder(route.refuse, route.needs)

    def _matching(self, path: str) -> dict[str, Route]:
        for prefix, suffix, slashes, methods in self._patterns:
            if path.startswith(prefix) and path.endswith(suffix):
                value = path[len(prefix) : len(path) - len(suffix)]
                if value and (slashes or "/" not in value):
                    return methods
        return _NONE


def parameter(request: Request) -> str:
    """The value of the parameter in a request's path."""
    prefix, suffix = _prefix_and_suffix(request.route)
    return request.path[len(prefix) : len(request.path) - len(suffix)]


def _prefix_and_suffix(pattern: str) -> tuple[str, str]:
    """The prefix and suffix of a pattern's parameter."""
    prefix, _, parameter_and_suffix = pattern.partition("{")
    return prefix, parameter_and_suffix.partition("}")[2]


_NONE: dict[str, Route] = {}
