"""Handlers that are made when first asked for: six dialects are a megabyte that the plain simulator never uses."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, Protocol, TypeVar

from tokenfall.api.routing import Handler, Refuse
from tokenfall.edge.request import Request
from tokenfall.edge.response import Answer, Response
from tokenfall.threads import in_thread
from tokenfall.wire.dialect import Fault

T = TypeVar("T")


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


class Once(Generic[T]):
    """What `make` returns, made once: it may import megabytes, which takes many times what a request may take."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._making: asyncio.Future[T] | None = None

    def known(self) -> T | None:
        """What was made, None before."""
        return self._made

    def now(self) -> T:
        """What is made, at once; for who cannot wait."""
        return self._kept(self._make()) if self._made is None else self._made

    async def get(self) -> T:
        """What is made, in a thread of its own: the loop has its turn every few milliseconds meanwhile."""
        if self._made is not None:
            return self._made
        making = self._making
        if making is None:
            making = self._making = in_thread(self._make)
        try:
            return self._kept(await asyncio.shield(making))
        finally:
            if making.done():
                self._making = None

    def _kept(self, made: T) -> T:
        """The first that was made stays."""
        if self._made is None:
            self._made = made
        return self._made


class OnDemand:
    """`make` gives all handlers by name, once."""

    def __init__(self, make: Callable[[], Mapping[str, Speaking]]) -> None:
        self._once = Once(make)

    def handler(self, name: str) -> Handler:
        """What stands for the handler called `name`."""

        def handle(request: Request) -> Answer | Coroutine[Any, Any, Answer]:
            made = self._once.known()
            return self._first(name, request) if made is None else made[name](request)

        return handle

    def refuse(self, name: str) -> Refuse:
        """What stands for its words."""

        def refuse(request: Request, fault: Fault) -> Response:
            return self._once.now()[name].refuse(request, fault)

        return refuse

    async def _first(self, name: str, request: Request) -> Answer:
        answer = (await self._once.get())[name](request)
        return await answer if isinstance(answer, Coroutine) else answer
