"""Whole answers that no cache may keep, and how the providers' routes refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tokenfall.api import problems
from tokenfall.errors import InvalidRequest
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, RelayedHead, Response, header_lines
from tokenfall.slices import Sliced
from tokenfall.slicing import later, run_sliced
from tokenfall.wire.api_error import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.response import Send

JSON = "application/json"
MAX_BYTES = 2**24
"""Of a response that has to be made as one before it is sent."""

WHOLE_BYTES = 65_536
"""A response that is longer is made as its reader takes it, so much at a time, and sent in chunked coding."""

UNCACHED = (("cache-control", "no-store"),)
_HEAD = RelayedHead(200, (("content-type", JSON), *UNCACHED))


def document(body: bytes, *, status: int = 200) -> Response:
    """A JSON document."""
    return Response(status, body, content_type=JSON, headers=UNCACHED)


def refusal(request: Request, api_error: ApiError, *, error: Callable[[ApiError], bytes]) -> Response:
    """A fault on a provider's route; `error` is the body in its dialect."""
    name_twice(request)
    headers = (*UNCACHED, *problems.headers_of(api_error))
    return Response(api_error.status, error(api_error), content_type=JSON, headers=headers)


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


async def sliced(pieces: Iterator[bytes]) -> Response | LiveStream:
    """All pieces as a JSON document, of which no more than a slice is held. What fails in the first may be refused."""
    return continued(await run_sliced(gathered(pieces)), pieces)


def gathered(pieces: Iterator[bytes]) -> Sliced[bytes]:
    """The next pieces, together at least `WHOLE_BYTES`; less where there are no more."""
    made: list[bytes] = []
    size = 0
    for piece in pieces:
        made.append(piece)
        size += len(piece)
        if size >= WHOLE_BYTES:
            break
        yield
    return b"".join(made)


def continued(begun: bytes, pieces: Iterator[bytes]) -> Response | LiveStream:
    """A JSON document that begins with what was `gathered` of it; the rest is made as its reader takes it."""
    if len(begun) < WHOLE_BYTES:
        return document(begun)
    parts = [begun]

    async def run(send: Send) -> bytes:
        while parts:
            room = send(parts.pop(), is_token=False)
            if room is not None:
                await room
            part = await later(gathered(pieces))
            if part:
                parts.append(part)
            del part  # not to be held while the reader takes it
        return b""

    stream = LiveStream(_HEAD, run, failure=lambda _: b"")
    stream.breaks = True  # half a document must not look like a whole one
    stream.counted = False
    return stream


def documented(pieces: Iterable[bytes]) -> Sliced[Response]:
    """All pieces as a JSON document."""
    return document((yield from joined(pieces)))
