"""Handlers that are made when first asked for: six dialects are a megabyte that the plain simulator never uses."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from tokenfall.api.routing import Handler, Refuse
from tokenfall.edge.request import Request
from tokenfall.edge.response import Answer, Response
from tokenfall.wire.dialect import Fault


class Speaking(Protocol):
    """A handler with words of its own for what goes wrong."""

    def __call__(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        """The handler."""
        ...

    def refuse(self, request: Request, fault: Fault) -> Response:
        """A fault in the handler's dialect."""
        ...


class Worded:
    """A `Speaking` of two functions."""

    def __init__(self, handle: Handler, refuse: Refuse) -> None:
        self._handle = handle
        self.refuse = refuse

    def __call__(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        return self._handle(request)


class OnDemand:
    """`make` gives all handlers by name, once."""

    def __init__(self, make: Callable[[], Mapping[str, Speaking]]) -> None:
        self._make = make
        self._made: Mapping[str, Speaking] | None = None

    def handler(self, name: str) -> Handler:
        """What stands for the handler called `name`."""

        def handle(request: Request) -> Answer | Coroutine[Any, Any, Answer]:
            return self._all()[name](request)

        return handle

    def refuse(self, name: str) -> Refuse:
        """What stands for its words."""

        def refuse(request: Request, fault: Fault) -> Response:
            return self._all()[name].refuse(request, fault)

        return refuse

    def _all(self) -> Mapping[str, Speaking]:
        if self._made is None:
            self._made = self._make()
        return self._made
