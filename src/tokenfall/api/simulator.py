"""The simulator's plain routes: `/stream-sse`, `/stream-ndjson`, `/stream-loop` and `/api/data`.

Their frames are cut once, when the server starts, and a stream is made once for all who ask for the same.
"""

from __future__ import annotations

from itertools import cycle, islice, repeat
from sys import maxsize

from tokenfall.errors import InvalidRequest, SimulatedFailure, shutting_down
from tokenfall.http.loadable import Loadable, Modules
from tokenfall.http.response import CutFrames, PacedStream, RepeatedStream, Response, StreamHead, TimedStream, chunk
from tokenfall.json_text import flat_object
from tokenfall.simulator.fault_plan import FaultPlan, happening
from tokenfall.simulator.grammar import Simulation, Spread, from_pairs, parse
from tokenfall.simulator.paragraph import PARAGRAPH, WORDS
from tokenfall.simulator.state import DEFAULTS, GAP
from tokenfall.simulator.timing import answer_length, draw, schedule
from tokenfall.wire import ndjson, sse
from tokenfall.wire.plain import stream as plain_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from random import Random
    from typing import Any

    from tokenfall.api.guard import Keys
    from tokenfall.api.injected_errors import InjectedErrors
    from tokenfall.http.request import Request
    from tokenfall.http.response import Answer, Item
    from tokenfall.ports import Clock
    from tokenfall.simulator.library import Library
    from tokenfall.simulator.state import SimulatorState


PROFILES = Modules("tokenfall.simulator.profiles")
"""What the first profile needs: it brings msgspec."""

LOOP_DEFAULTS = Simulation(gap=Spread(0.2))
"""`/stream-loop` without a word from anybody."""

MOST_KNOWN = 64
LONGEST_KNOWN_BYTES = 256
"""Streams that are kept to be played again, and how long their grammar may be."""

_END = plain_stream.token_document("", finish=True)
_SHUTTING_DOWN = (shutting_down().code, shutting_down().message)
_BROKEN = (SimulatedFailure.code, "the simulated stream broke off, as configured")


class Words:
    """A format's heartbeat, b"" for none, its last word when the server drains, and the one on an error."""

    def __init__(self, keepalive: bytes, shutdown_frame: bytes, *, error_frame: bytes) -> None:
        self.keepalive = keepalive
        self.shutdown_frame = shutdown_frame
        self.error_frame = error_frame


_SSE = Words(sse.PING, plain_stream.error_frame(*_SHUTTING_DOWN), error_frame=plain_stream.error_frame(*_BROKEN))


class Shared:
    """What all plain routes share with the rest of the simulator."""

    def __init__(self, state: SimulatorState, injected_errors: InjectedErrors, *, keys: Keys, library: Library) -> None:
        self.state = state
        self._library = library
        self.leave = state.limiter.leave
        self._injected_errors = injected_errors
        self._keys = keys

    def with_files(self, simulation: Simulation, *, under: Simulation) -> Simulation:
        """What was said, over what its profile says, over `under`. Raises `InvalidRequest`."""
        if simulation.script is not None:
            raise InvalidRequest("simulator: script answers chats; it has no word for a plain stream", param="script")
        profile = self._library.profile(simulation.profile or "")
        if not isinstance(profile, Simulation):
            raise InvalidRequest(
                "simulator: a measured profile times chats; plain streams take a named one", param="profile"
            )
        return under.overlay(profile).overlay(simulation)

    def refuse(self, request: Request, simulation: Simulation) -> None:
        """Raises what the grammar asks for in place of an answer."""
        self._injected_errors.enforce(request, simulation, owner=self._keys.owner(request), tokens=1)


class Passage:
    """A text's frames, repeated without end, and the frame that ends a stream of it: `frame_of` makes a word's."""

    def __init__(self, frame_of: Callable[[str], bytes], end: bytes) -> None:
        self._frame_of = frame_of
        self._end_frame = end
        self._words = CutFrames(map(frame_of, WORDS))
        self._end = CutFrames([end] if end else [])
        self.has_end = end != b""
        self.length = len(WORDS)

    def steady(self, head: StreamHead, *, count: int | None, first_s: float, gap_s: float) -> RepeatedStream:
        """The first `count` words and the end, or words without end for None."""
        return RepeatedStream(head, self._words, end=self._end, count=count, first_s=first_s, gap_s=gap_s)

    def enacted(self, words: Iterator[str], fault_plan: FaultPlan) -> Iterator[bytes]:
        """The frames of `words` as they are said on a course, and the end, b"" for none."""
        for number, word in enumerate(words):
            yield self._frame_of(fault_plan.token_text(number, word))
        yield self._end_frame


class PlainStream:
    """One of the three streams. `endless`: until the client leaves, unless `tokens` is asked for.

    `under` is what holds below what the operator says.
    """

    def __init__(
        self,
        passage: Passage,
        head: StreamHead,
        *,
        shared: Shared,
        under: Simulation = DEFAULTS,
        endless: bool = False,
        words: Words,
    ) -> None:
        self._passage = passage
        self._head = head
        self._shared = shared
        self._under = under
        self._endless = endless
        self._configured: Simulation | None = None
        self._defaults = under
        self._words = words
        self._known: dict[tuple[bytes, bytes], RepeatedStream] = {}
        """By query and X-Sim header, where nothing is left to chance: thousands of clients play one object."""

    def __call__(self, request: Request) -> TimedStream | Loadable:
        """The handler. Raises `InvalidRequest` and what the grammar asks for in place of an answer."""
        state = self._shared.state
        if state.configured is not self._configured:
            self._configured = state.configured
            self._defaults = self._under.overlay(state.configured)
            self._known.clear()
        known = self._known.get((request.query_string, request.headers.get(b"x-sim", b"")))
        if known is None:
            return self._made(request)
        state.limiter.enter()
        return known

    def _made(self, request: Request) -> TimedStream | Loadable:
        state = self._shared.state
        of = asked(request, self._defaults)
        if of.profile and not PROFILES.is_loaded:
            return PROFILES
        if of.profile or of.script:
            of = self._shared.with_files(asked(request, state.configured), under=self._under)
        endless = self._endless and of.tokens is None
        if of.status or of.limit or of.fault or of.gate or of.load or of.text == "words":
            return self._enacted(request, of, endless=endless)
        random = dice(of)
        count = answer_length(of.tokens, random) if of.tokens else None if endless else self._passage.length
        gap = of.gap or GAP
        steady = self._passage.steady(self._head, count=count, first_s=(of.ttft or gap).mean_s, gap_s=gap.mean_s)
        stream: TimedStream = steady
        if random is not None and (gap.cv or (of.ttft and of.ttft.cv)):
            gaps = schedule(of.ttft, gap, random=random)
            stream = PacedStream(self._head, steady.frames, gaps=gaps, endless=endless)
            stream.ends_in_token = steady.ends_in_token
        elif random is None and not of.profile:
            self._keep(request, steady)
        self._word(stream)
        state.limiter.enter()
        stream.ended = self._shared.leave
        return stream

    def _keep(self, request: Request, stream: RepeatedStream) -> None:
        simulation = (request.query_string, request.headers.get(b"x-sim", b""))
        if sum(map(len, simulation)) <= LONGEST_KNOWN_BYTES:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[simulation] = stream

    def _stream(self, frames: Callable[[bool], Iterator[Item]], gaps: Iterator[float], *, endless: bool) -> PacedStream:
        stream = PacedStream(self._head, frames, gaps=gaps, endless=endless)
        self._word(stream)
        return stream

    def _word(self, stream: TimedStream) -> None:
        """Give a stream what its format says between and after its frames."""
        stream.keepalive, stream.shutdown_frame = self._words.keepalive, self._words.shutdown_frame

    def _enacted(self, request: Request, of: Simulation, *, endless: bool) -> PacedStream:
        """A stream to which something may happen."""
        shared = self._shared
        shared.refuse(request, of)
        random = _random(of.seed)
        count = answer_length(of.tokens, random) if of.tokens else None if endless else self._passage.length
        faults = happening(of, random)
        fault_plan = shared.state.fault_plan(of, faults) or FaultPlan(faults, permit=shared.state.limiter.permit(None))
        token_text = (random.choice(WORDS) for _ in repeat(None)) if of.text == "words" else cycle(WORDS)
        plain = self._passage.enacted(islice(token_text, count), fault_plan)
        tokens = maxsize if count is None else count
        words = self._words

        def frames(chunked: bool) -> Iterator[Item]:
            code = chunk if chunked else bytes
            return fault_plan.items(plain, tokens=tokens, error_frame=lambda: words.error_frame, coded=code)

        gaps = shared.state.gaps(schedule(of.ttft, of.gap or GAP, random=random), of.load)
        stream = self._stream(frames, fault_plan.gaps(gaps), endless=endless)
        stream.ends_in_token = fault_plan.ends_in_token(has_end=self._passage.has_end)
        stream.ended = fault_plan.permit.leave
        return stream


_ITEMS = ("First item", "Second item", "Third item")


class DataDocument:
    """`GET /api/data`: one JSON document, at once or after the time to first token that was asked for."""

    def __init__(self, shared: Shared, clock: Clock) -> None:
        items = b",".join(plain_stream.token_document(text, finish=text.startswith("Third")) for text in _ITEMS)
        about = flat_object({"id": "a1b2-c3d4-e5f6", "type": "static_response", "message": PARAGRAPH})
        body = b'%b,"payload":[%b]}' % (about[:-1], items)
        self._response = Response(200, body, content_type="application/json")
        self._shared = shared
        self._clock = clock

    def __call__(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        """The handler. Raises `InvalidRequest` and what the grammar asks for in place of an answer."""
        plan = asked(request, self._shared.state.configured)
        if plan.status or plan.limit:
            self._shared.refuse(request, plan)
        if plan.ttft is None:
            return self._response
        wait_s = draw(plan.ttft, _random(plan.seed))
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
        return _random(plan.seed)
    return None


def _random(seed: int | None) -> Random:
    from random import Random  # noqa: PLC0415 - half a MiB, where something is left to chance

    return Random(seed)  # noqa: S311 - a simulation's dice, not a secret's


def sse_stream(shared: Shared) -> PlainStream:
    """`/stream-sse`."""
    passage = Passage(lambda word: sse.frame(plain_stream.token_document(f"{word} ")), sse.frame(_END))
    return PlainStream(passage, StreamHead(sse.CONTENT_TYPE), shared=shared, words=_SSE)


def ndjson_stream(shared: Shared) -> PlainStream:
    """`/stream-ndjson`."""
    passage = Passage(lambda word: ndjson.frame(plain_stream.token_document(f"{word} ")), ndjson.frame(_END))
    words = Words(b"", plain_stream.error_line(*_SHUTTING_DOWN), error_frame=plain_stream.error_line(*_BROKEN))
    return PlainStream(passage, StreamHead(ndjson.CONTENT_TYPE), shared=shared, words=words)


def loop_stream(shared: Shared) -> PlainStream:
    """`/stream-loop`."""
    passage = Passage(lambda word: sse.frame(word.encode()), b"")
    return PlainStream(
        passage, StreamHead(sse.CONTENT_TYPE), shared=shared, under=LOOP_DEFAULTS, endless=True, words=_SSE
    )
