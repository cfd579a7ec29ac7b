"""Whole answers that no cache may keep, and how the providers' routes refuse."""

from collections.abc import Callable, Iterable

from tokenfall.api import problems
from tokenfall.errors import InvalidRequest
from tokenfall.http.request import Request
from tokenfall.http.response import Response, header_lines
from tokenfall.slices import Sliced
from tokenfall.wire.faults import Fault

JSON = "application/json"
MAX_BYTES = 2**24
"""Of a whole response, which is held in memory and handed to the transport as one."""

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


def joined(pieces: Iterable[bytes]) -> Sliced[bytes]:
    """All pieces, a slice each: thousands of vectors take a second. Raises `InvalidRequest` for too many of them."""
    made: list[bytes] = []
    size = 0
    for piece in pieces:
        if made:
            yield
        made.append(piece)
        size += len(piece)
        if size > MAX_BYTES:
            raise InvalidRequest(f"a whole response has at most {MAX_BYTES} bytes: ask for less, or for a stream")
    return b"".join(made)


def documented(pieces: Iterable[bytes]) -> Sliced[Response]:
    """All pieces as a JSON document."""
    return document((yield from joined(pieces)))
