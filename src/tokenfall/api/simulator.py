"""The simulator's plain routes: `/stream-sse`, `/stream-ndjson`, `/stream-loop` and `/api/data`.

Their frames are cut once, when the server starts; a request costs two iterators.
"""

from collections.abc import Callable, Coroutine, Iterator
from itertools import chain, islice, repeat
from random import Random
from typing import Any

import msgspec

from tokenfall.edge.request import Request
from tokenfall.edge.response import Answer, CutFrames, PacedStream, Response, StreamHead
from tokenfall.engines.planning import GAP
from tokenfall.engines.prose import PARAGRAPH, WORDS
from tokenfall.errors import shutting_down
from tokenfall.pacing.grammar import Simulation, from_pairs, parse
from tokenfall.pacing.timing import answer_length, draw, schedule
from tokenfall.ports import Clock
from tokenfall.wire import ndjson, plain, sse

_DOCUMENTS = [plain.token_document(f"{word} ") for word in WORDS]
_END = plain.token_document("", finish=True)
_SHUTTING_DOWN = (shutting_down().code, shutting_down().message)


class Passage:
    """A text's frames, repeated without end, and the frames that end a stream of it."""

    def __init__(self, words: list[bytes], end: bytes) -> None:
        self._words = CutFrames(words)
        self._end = CutFrames([end] if end else [])
        self.length = len(words)

    def frames(self, count: int | None) -> Callable[[bool], Iterator[bytes]]:
        """The first `count` words and the end, or words without end for None."""

        def coded(chunked: bool) -> Iterator[bytes]:
            endless = chain.from_iterable(repeat(self._words.coded(chunked)))
            return endless if count is None else chain(islice(endless, count), self._end.coded(chunked))

        return coded


class PlainStream:
    """One of the three streams. `endless`: until the client leaves, unless `tokens` is asked for."""

    def __init__(
        self,
        passage: Passage,
        head: StreamHead,
        *,
        defaults: Simulation,
        endless: bool,
        comment: bytes,
        farewell: bytes,
    ) -> None:
        self._passage = passage
        self._head = head
        self._defaults = defaults
        self._endless = endless
        self._comment = comment
        self._farewell = farewell

    def __call__(self, request: Request) -> PacedStream:
        """The handler. Raises `InvalidRequest`."""
        plan = asked(request, self._defaults)
        random = dice(plan)
        endless = self._endless and plan.tokens is None
        count = answer_length(plan.tokens, random) if plan.tokens else None if endless else self._passage.length
        return PacedStream(
            self._head,
            self._passage.frames(count),
            gaps=schedule(plan.ttft, plan.gap or GAP, random=random),
            endless=endless,
            comment=self._comment,
            farewell=self._farewell,
        )


class DataDocument:
    """`GET /api/data`: one JSON document, at once or after the time to first token that was asked for."""

    def __init__(self, defaults: Simulation, clock: Clock) -> None:
        payload = [
            {"content": text, "finish": text.startswith("Third")}
            for text in ("First item", "Second item", "Third item")
        ]
        document = {
            "id": "a1b2-c3d4-e5f6",
            "type": "static_response",
            "message": PARAGRAPH,
            "payload": payload,
        }
        self._response = Response(200, msgspec.json.encode(document), content_type="application/json")
        self._defaults = defaults
        self._clock = clock

    def __call__(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        """The handler. Raises `InvalidRequest`."""
        plan = asked(request, self._defaults)
        if plan.ttft is None:
            return self._response
        wait_s = draw(plan.ttft, Random(plan.seed))  # noqa: S311 - a simulation's dice, not a secret's
        return self._later(request.started_s + wait_s)

    async def _later(self, deadline_s: float) -> Response:
        await self._clock.sleep_until(deadline_s)
        return self._response


def asked(request: Request, defaults: Simulation) -> Simulation:
    """The grammar of this request: its query over its X-Sim header over `defaults`. Raises `InvalidRequest`."""
    header = request.header(b"x-sim")
    if header:
        defaults = defaults.overlay(parse(header))
    return defaults.overlay(from_pairs(request.query())) if request.query_string else defaults


def dice(plan: Simulation) -> Random | None:
    """The dice of one stream, None when nothing is left to chance: dice cost 2.5 KiB a stream."""
    chancy = (plan.gap and plan.gap.cv) or (plan.ttft and plan.ttft.cv)
    if chancy or (plan.tokens and plan.tokens.least != plan.tokens.most):
        return Random(plan.seed)  # noqa: S311 - a simulation's dice, not a secret's
    return None


def sse_stream(defaults: Simulation) -> PlainStream:
    """`/stream-sse`."""
    passage = Passage([sse.frame(document) for document in _DOCUMENTS], sse.frame(_END))
    farewell = plain.error_frame(*_SHUTTING_DOWN)
    head = StreamHead(sse.CONTENT_TYPE)
    return PlainStream(passage, head, defaults=defaults, endless=False, comment=sse.PING, farewell=farewell)


def ndjson_stream(defaults: Simulation) -> PlainStream:
    """`/stream-ndjson`."""
    passage = Passage([ndjson.frame(document) for document in _DOCUMENTS], ndjson.frame(_END))
    farewell = plain.error_line(*_SHUTTING_DOWN)
    head = StreamHead(ndjson.CONTENT_TYPE)
    return PlainStream(passage, head, defaults=defaults, endless=False, comment=b"", farewell=farewell)


def loop_stream(defaults: Simulation) -> PlainStream:
    """`/stream-loop`."""
    passage = Passage([sse.frame(word.encode()) for word in WORDS], b"")
    farewell = plain.error_frame(*_SHUTTING_DOWN)
    head = StreamHead(sse.CONTENT_TYPE)
    return PlainStream(passage, head, defaults=defaults, endless=True, comment=sse.PING, farewell=farewell)
