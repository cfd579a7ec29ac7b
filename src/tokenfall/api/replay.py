"""Responds with a recorded exchange: the same bytes, at the recorded times or faster."""

from __future__ import annotations

from tokenfall.disconnect import Disconnect
from tokenfall.errors import NotFound
from tokenfall.http.encoding import chunk
from tokenfall.http.request import Request
from tokenfall.http.response import PacedStream, Response, StreamHead
from tokenfall.ports import Clock
from tokenfall.recording.recordings import RecordedResponse, Recording

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
    if exchange is None or exchange.answer is None:
        raise NotFound("no recorded exchange matches this request")
    recorded, is_broken = exchange.answer, exchange.interrupted == "upstream"
    if not recorded.streamed:
        return _complete(recorded, request.started_s + recorded.took_s(speed), clock=clock, is_broken=is_broken)
    timed_frames = list(recorded.frames(speed))
    gaps = iter([*(gap_s for gap_s, _ in timed_frames), 0.0, 0.0])

    def frames(chunked: bool) -> Iterator[Item]:
        for _, payload in timed_frames:
            yield chunk(payload) if chunked else payload
        if is_broken:
            yield Disconnect("close")

    return PacedStream(StreamHead(_content_type(recorded)), frames, gaps=gaps)


async def _complete(
    recorded: RecordedResponse, due_s: float, *, clock: Clock, is_broken: bool
) -> Response | Disconnect:
    await clock.sleep_until(due_s)
    if is_broken:
        return Disconnect("close")
    return Response(recorded.status, recorded.body, content_type=_content_type(recorded))


def _content_type(recorded: RecordedResponse) -> str:
    return recorded.headers.get("content-type", "application/json")
