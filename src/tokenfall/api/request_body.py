"""Checks the JSON of a request body before its handler decodes it."""

from collections.abc import Callable, Coroutine
from typing import Any

from tokenfall.http.request import Request
from tokenfall.http.response import AnyResponse
from tokenfall.slicing.computation import at_once
from tokenfall.slicing.scheduler import SLICE_S, start_sliced
from tokenfall.wire.request_json import SHORT_BYTES, check_members

_Handler = Callable[[Request], AnyResponse | Coroutine[Any, Any, AnyResponse]]


def handled(request: Request, handler: _Handler) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
    """The handler's response, after the check. Raises `InvalidRequest`.

    A long body is checked in turns of the loop of its own, so that the check and the handler do not block it together.
    """
    checking = check_members(request.body)
    if len(request.body) <= SHORT_BYTES:
        at_once(checking)
        return handler(request)
    checked = start_sliced(checking, SLICE_S)
    return handler(request) if checked is None else _handled_later(request, handler, checked=checked)


async def _handled_later(request: Request, handler: _Handler, *, checked: Coroutine[Any, Any, None]) -> AnyResponse:
    await checked
    response = handler(request)
    return await response if isinstance(response, Coroutine) else response
