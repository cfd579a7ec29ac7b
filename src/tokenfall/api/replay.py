"""Responds with a recorded exchange: the same bytes, at the recorded times or faster."""

from __future__ import annotations

from tokenfall.disconnect import Disconnect
from tokenfall.errors import NotFound
from tokenfall.http.encoding import chunk
from tokenfall.http.request import Request
from tokenfall.http.response import PacedStream, Response, StreamHead
from tokenfall.ports import Clock
from tokenfall.recording.recordings import RecordedExchange, Recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

    from tokenfall.http.response import Item


def replayed(
    recording: Recording, request: Request, *, clock: Clock, speed: float
) -> PacedStream | Coroutine[Any, Any, Response | Disconnect]:
    """The recorded response to this request, `speed` times as fast. Raises `NotFound` if there is none."""
    exchange = recording.find(request.body, request.path)
    if exchange is None:
        raise NotFound("no recorded exchange matches this request")
    content_type = exchange.headers.get("content-type", "application/json")
    if not exchange.streamed:
        return _complete(exchange, request.started_s + exchange.took_s(speed), clock=clock, content_type=content_type)
    timed_frames = list(exchange.frames(speed))
    gaps = iter([*(gap_s for gap_s, _ in timed_frames), 0.0, 0.0])

    def frames(chunked: bool) -> Iterator[Item]:
        for _, payload in timed_frames:
            yield chunk(payload) if chunked else payload
        if exchange.broken:
            yield Disconnect("close")

    return PacedStream(StreamHead(content_type), frames, gaps=gaps)


async def _complete(
    exchange: RecordedExchange, due_s: float, *, clock: Clock, content_type: str
) -> Response | Disconnect:
    await clock.sleep_until(due_s)
    if exchange.broken:
        return Disconnect("close")
    return Response(exchange.status, exchange.body, content_type=content_type)
