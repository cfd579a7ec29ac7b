"""Handlers that are made when first asked for: most need libraries that the plain simulator never uses.

A route `needs` what makes its handler; who calls a handler before that is loaded gets it made at once.
"""

from __future__ import annotations

from tokenfall.http.loadable import THREADING, Loadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any, Protocol

    from tokenfall.api.routing import Handler, Refuse
    from tokenfall.http.request import Request
    from tokenfall.http.response import Answer, Response
    from tokenfall.wire.api_error import ApiError

    class Speaking(Protocol):
        """A handler with words of its own for what goes wrong."""

        def __call__(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
            """The handler."""
            ...

        def refuse(self, request: Request, api_error: ApiError) -> Response:
            """A fault in the handler's dialect."""
            ...


class HandlerWithErrors:
    """A `Speaking` of two functions."""

    def __init__(self, handle: Handler, refuse: Refuse) -> None:
        self._handle = handle
        self.refuse = refuse

    def __call__(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        return self._handle(request)


class CachedResponse(Loadable):
    """The handler of a response that is made once, and then kept."""

    def __init__(self, make: Callable[[], Response]) -> None:
        super().__init__(after=THREADING)
        self._make = make
        self._made: Response | None = None

    def load(self) -> None:
        self._made = self._make()

    def __call__(self, request: Request) -> Response:
        if self._made is None:
            self._made = self._make()
        return self._made


class LazyHandlers(Loadable):
    """`make` gives all handlers by name, once. It is called in a thread at the first request to any of them."""

    def __init__(self, make: Callable[[], Mapping[str, Any]], *, after: Loadable | None = None) -> None:
        super().__init__(after=after)
        self._make = make
        self._made: Mapping[str, Any] | None = None

    def load(self) -> None:
        self._made = self._make()

    def handler(self, name: str) -> Handler:
        """What stands for the handler called `name`."""

        def handle(request: Request) -> Answer | Coroutine[Any, Any, Answer]:
            answer: Answer | Coroutine[Any, Any, Answer] = self._all()[name](request)
            return answer

        return handle

    def refuse(self, name: str) -> Refuse:
        """What stands for the words of a `Speaking` called `name`."""

        def refuse(request: Request, api_error: ApiError) -> Response:
            response: Response = self._all()[name].refuse(request, api_error)
            return response

        return refuse

    def _all(self) -> Mapping[str, Any]:
        if self._made is None:
            self._made = self._make()
        return self._made
