"""Handlers that are made when first asked for: most need libraries that the plain simulator never uses."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any, Protocol

    from tokenfall.api.routing import Handler, Refuse
    from tokenfall.edge.request import Request
    from tokenfall.edge.response import Answer, Response
    from tokenfall.wire.faults import Fault

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


class Once:
    """A response that is made at the first request for it, and then kept."""

    def __init__(self, make: Callable[[], Response]) -> None:
        self._make = make
        self._made: Response | None = None
        self._making: Future[Response] | None = None

    def known(self) -> Response | None:
        """The response, None before it is made."""
        return self._made

    async def get(self) -> Response:
        """The response, made in a thread: the loop has its turn every few milliseconds meanwhile."""
        from asyncio import shield  # noqa: PLC0415 - whoever awaits has it

        if self._made is not None:
            return self._made
        if self._making is None:
            from tokenfall.threads import in_thread  # noqa: PLC0415 - few responses need a thread

            self._making = in_thread(self._make)
        making = self._making
        try:
            self._made = await shield(making)
        finally:
            if making.done():
                self._making = None
        return self._made


class OnDemand:
    """`make` gives all handlers by name, once. It is called at the first request to any of them."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._make = make
        self._made: Mapping[str, Any] | None = None

    def handler(self, name: str) -> Handler:
        """What stands for the handler called `name`."""

        def handle(request: Request) -> Answer | Coroutine[Any, Any, Answer]:
            answer: Answer | Coroutine[Any, Any, Answer] = self._all()[name](request)
            return answer

        return handle

    def refuse(self, name: str) -> Refuse:
        """What stands for the words of a `Speaking` called `name`."""

        def refuse(request: Request, fault: Fault) -> Response:
            response: Response = self._all()[name].refuse(request, fault)
            return response

        return refuse

    def _all(self) -> Mapping[str, Any]:
        if self._made is None:
            self._made = self._make()
        return self._made
