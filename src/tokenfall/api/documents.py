"""Whole answers that no cache may keep, and how the providers' routes refuse."""

from collections.abc import Callable, Iterable

from tokenfall.api import problems
from tokenfall.edge.request import Request
from tokenfall.edge.response import Response, header_lines
from tokenfall.wire.faults import Fault

JSON = "application/json"
UNCACHED = (("cache-control", "no-store"),)


def document(body: bytes, *, status: int = 200) -> Response:
    """A JSON document."""
    return Response(status, body, content_type=JSON, headers=UNCACHED)


def refusal(request: Request, fault: Fault, *, error: Callable[[Fault], bytes]) -> Response:
    """A fault on a provider's route; `error` is the body in its dialect."""
    name_twice(request)
    headers = (*UNCACHED, *problems.headers_of(fault))
    return Response(fault.status, error(fault), content_type=JSON, headers=headers)


def name_twice(request: Request) -> None:
    """`request-id` beside `x-request-id`: each provider's clients look for their own."""
    if b"\r\nrequest-id:" not in b"\r\n" + request.reply_headers:
        request.reply_headers += header_lines((("request-id", request.id),))


async def joined(pieces: Iterable[bytes]) -> bytes:
    """All pieces; between two of them others come in, for thousands of vectors take a second."""
    import asyncio  # noqa: PLC0415 - whoever awaits has it

    made = []
    for piece in pieces:
        made.append(piece)
        await asyncio.sleep(0)
    return b"".join(made)
