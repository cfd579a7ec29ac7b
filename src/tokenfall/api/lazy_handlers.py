"""Handlers that are created at their first request: most need libraries that the plain simulator never uses.

A route's `needs` is the `Loadable` that creates its handler. A handler called before that is loaded is created
synchronously.
"""

from __future__ import annotations

from tokenfall.http.loadable import Loadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any, Protocol

    from tokenfall.api.routing import Handler, Refuse
    from tokenfall.http.request import Request
    from tokenfall.http.response import AnyResponse, Response
    from tokenfall.wire.api_error import ApiError

    class ProviderHandler(Protocol):
        """A handler with its own format of error responses."""

        def __call__(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
            """Return the response, or a coroutine for it."""
            ...

        def refuse(self, request: Request, api_error: ApiError) -> Response:
            """Return the error response in the handler's dialect."""
            ...


class LazyHandlers(Loadable):
    """A group of handlers that are created together, in a thread, at the first request to any of them.

    `make` returns them by name. `take_bodies`: some take a JSON body, which is checked before each call.
    """

    def __init__(
        self, make: Callable[[], Mapping[str, Any]], *, after: Loadable | None = None, take_bodies: bool = True
    ) -> None:
        super().__init__(after=after)
        self._make = make
        self._take_bodies = take_bodies
        self._made: Mapping[str, Any] | None = None

    def load(self) -> None:
        if self._take_bodies:
            from tokenfall.api import request_body  # noqa: F401, PLC0415 - for `handler`, in the thread that loads

        self._made = self._make()

    def handler(self, name: str) -> Handler:
        """A handler that forwards to the one called `name`, and creates it if necessary."""

        def handle(request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
            call: Handler = self._all()[name]
            if not request.body or request.method not in _WITH_BODY:
                return call(request)
            from tokenfall.api.request_body import handled  # noqa: PLC0415 - loaded by `load`

            return handled(request, call)

        return handle

    def refuse(self, name: str) -> Refuse:
        """A function that forwards to `refuse` of the handler called `name`, and creates that if necessary."""

        def refuse(request: Request, api_error: ApiError) -> Response:
            response: Response = self._all()[name].refuse(request, api_error)
            return response

        return refuse

    def _all(self) -> Mapping[str, Any]:
        if self._made is None:
            self._made = self._make()
        return self._made


_WITH_BODY = ("POST", "PUT", "PATCH")
