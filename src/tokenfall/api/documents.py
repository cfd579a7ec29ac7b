"""JSON responses with `cache-control: no-store`, short ones complete and long ones streamed, and provider errors.

Called by the handlers of `tokenfall.api`. It must not depend on a dialect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

from tokenfall import logs
from tokenfall.api import problems
from tokenfall.errors import InvalidRequest, TokenfallError
from tokenfall.http.encoding import header_lines
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, RelayedHead, Response
from tokenfall.slicing.computation import Sliced
from tokenfall.slicing.scheduler import later, run_sliced
from tokenfall.wire.api_error import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.response import Send
    from tokenfall.memory.leases import MemoryLease

JSON = "application/json"
MAX_BYTES = 2**24
"""Maximum size of a response that must be complete before it is sent."""

PART_BYTES = 65_536
"""A longer response is sent in chunked coding, in parts of at least this size, encoded as the client reads them."""

_log = logs.get(__name__)

UNCACHED = (("cache-control", "no-store"),)
_HEAD = RelayedHead(200, (("content-type", JSON), *UNCACHED))


def document(body: bytes, *, status: int = 200) -> Response:
    """A complete JSON response."""
    return Response(status, body, content_type=JSON, headers=UNCACHED)


def refusal(request: Request, api_error: ApiError, *, error: Callable[[ApiError], bytes]) -> Response:
    """The error response of a provider's route; `error` encodes the body in its dialect."""
    add_request_id_header(request)
    headers = (*UNCACHED, *problems.headers_of(api_error))
    return Response(api_error.status, error(api_error), content_type=JSON, headers=headers)


def add_request_id_header(request: Request) -> None:
    """Send the request id as `request-id` and `x-request-id`, because the SDKs of the providers read different headers.

    Calling it again has no effect.
    """
    if b"\r\nrequest-id:" not in b"\r\n" + request.response_headers:
        request.response_headers += header_lines((("request-id", request.id),))


def joined(pieces: Iterable[bytes]) -> Sliced[bytes]:
    """All pieces joined, one per slice, because thousands of vectors take a second.

    Raises `InvalidRequest` above `MAX_BYTES`.
    """
    collected: list[bytes] = []
    size = 0
    for piece in pieces:
        if collected:
            yield
        collected.append(piece)
        size += len(piece)
        if size > MAX_BYTES:
            raise InvalidRequest(f"a non-streaming response has at most {MAX_BYTES} bytes: request less, or a stream")
    return b"".join(collected)


async def sliced(pieces: Iterator[bytes], *, lease: MemoryLease | None = None) -> Response | LiveStream:
    """All pieces as a JSON response; only one part of about `PART_BYTES` is held in memory.

    `lease`: the memory of what the pieces are made of; it is kept while a long response is sent. An error in the first
    part is raised, so that the caller can still send an error response.
    """
    return continued(await run_sliced(gathered(pieces)), pieces, lease=lease)


def gathered(pieces: Iterator[bytes]) -> Sliced[bytes]:
    """The next pieces joined, at least `PART_BYTES`; fewer if the iterator ends."""
    collected: list[bytes] = []
    size = 0
    for piece in pieces:
        collected.append(piece)
        size += len(piece)
        if size >= PART_BYTES:
            break
        yield
    return b"".join(collected)


def continued(first_part: bytes, pieces: Iterator[bytes], *, lease: MemoryLease | None) -> Response | LiveStream:
    """A JSON response that starts with `first_part`, made by `gathered`; the others are encoded as the client reads.

    `lease` as in `sliced`.
    """
    if len(first_part) < PART_BYTES:
        return document(first_part)
    parts = [first_part]

    async def run(send: Send) -> bytes:
        while parts:
            full = send(parts.pop(), is_token=False)
            if full is not None:
                await full
            part = await later(gathered(pieces))
            if part:
                parts.append(part)
            del part  # freed while the client reads it
        return b""

    stream = long_document(run)
    if lease is not None:
        stream.ended = lease.keep()
    return stream


def held(body: bytes, lease: MemoryLease) -> Response | LiveStream:
    """A JSON response of a complete body, whose memory `lease` gets. Raises `ResponseMemoryFull`."""
    lease.resize(len(body))
    return continued(body[:PART_BYTES], _slices(body), lease=lease)


def _slices(body: bytes) -> Iterator[bytes]:
    """The body after its first part."""
    for start in range(PART_BYTES, len(body), PART_BYTES):
        yield body[start : start + PART_BYTES]


def long_document(run: Callable[[Send], Awaitable[bytes]]) -> LiveStream:
    """A JSON response whose parts `run` sends. If it fails, the connection is reset: a part must not look complete."""
    stream = LiveStream(_HEAD, run, failure=_failure)
    stream.breaks = True
    stream.counted = False
    stream.is_large = True
    return stream


def _failure(error: Exception) -> bytes:
    if not isinstance(error, TokenfallError):
        _log.error("a response failed", exc_info=error)
    return b""
