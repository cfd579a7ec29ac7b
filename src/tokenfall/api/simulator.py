"""The simulator's plain routes: `/stream-sse`, `/stream-ndjson`, `/stream-loop` and `/api/data`.

Frames are encoded once, when the server starts. Equal requests without randomness share one stream object.
"""

from __future__ import annotations

from itertools import cycle, islice, repeat
from sys import maxsize

from tokenfall.errors import InvalidRequest, SimulatedFailure, shutting_down
from tokenfall.http.encoding import chunk
from tokenfall.http.loadable import Loadable, Modules
from tokenfall.http.response import EncodedFrames, PacedStream, RepeatedStream, Response, StreamHead, TimedStream
from tokenfall.json_text import flat_object
from tokenfall.simulator.fault_plan import FaultPlan, draw_faults
from tokenfall.simulator.grammar import Simulation, from_pairs, parse
from tokenfall.simulator.paragraph import PARAGRAPH, WORDS
from tokenfall.simulator.state import DEFAULTS, GAP
from tokenfall.simulator.timing import draw, response_length, schedule
from tokenfall.simulator.values import Spread
from tokenfall.wire import ndjson, sse
from tokenfall.wire.plain import stream as plain_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from random import Random
    from typing import Any

    from tokenfall.api.guard import Callers
    from tokenfall.api.injected_errors import InjectedErrors
    from tokenfall.http.request import Request
    from tokenfall.http.response import AnyResponse, Item
    from tokenfall.ports import Clock
    from tokenfall.simulator.library import Library
    from tokenfall.simulator.state import SimulatorState

    Medium = tuple[str, Callable[[bytes], bytes], bytes, Callable[[str, str], bytes]]
    """Content type, encoder of a frame, keepalive (b"" for none), and encoder of an error by its code and message."""


PROFILES = Modules("tokenfall.simulator.profiles")
"""Modules that the first profile needs, among them msgspec."""

LOOP_DEFAULTS = Simulation(gap=Spread(0.2))
"""The defaults of `/stream-loop`."""

MAX_CACHED_STREAMS = 64
MAX_CACHED_KEY_BYTES = 256
"""Limits of the stream cache: number of streams, and length of the grammar of each."""

_END = plain_stream.token_document("", finish=True)
_SHUTTING_DOWN = (shutting_down().code, shutting_down().message)
_BROKEN = (SimulatedFailure.code, "the simulated stream failed, as configured")


class Shared:
    """The parts of the simulator that all plain routes use."""

    def __init__(
        self, state: SimulatorState, injected_errors: InjectedErrors, *, callers: Callers, library: Library
    ) -> None:
        self.state = state
        self.library = library
        self.release = state.limiter.release
        self.injected_errors = injected_errors
        self.callers = callers

    def with_profile(self, simulation: Simulation, *, under: Simulation) -> Simulation:
        """`simulation` over its profile over `under`. Raises `InvalidRequest`."""
        if simulation.script is not None:
            raise InvalidRequest("simulator: script applies to chats, not to plain streams", param="script")
        profile = self.library.profile(simulation.profile or "")
        if not isinstance(profile, Simulation):
            raise InvalidRequest(
                "simulator: a measured profile applies to chats; plain streams take a named profile", param="profile"
            )
        return simulation.over_profile(profile, under=under)

    def refuse(self, request: Request, simulation: Simulation) -> None:
        """Raises the error that the grammar sets in place of a response."""
        self.injected_errors.enforce(request, simulation, owner=self.callers.of(request).name, tokens=1)


class PlainFormat:
    """The head and all frames of a route: the words of a text, repeated endlessly, then the end frame.

    `encode_word` encodes a word as the data of a frame. `end` is the data of the end frame; None if there is none.
    """

    def __init__(self, medium: Medium, encode_word: Callable[[str], bytes], *, end: bytes | None) -> None:
        content_type, frame, keepalive, error_frame = medium
        shutdown_frame = error_frame(*_SHUTTING_DOWN)
        self.head = StreamHead(content_type)
        self.keepalive = keepalive
        self.shutdown_frame = lambda _next_frame: shutdown_frame
        self.error_frame = error_frame(*_BROKEN)
        self.has_end = end is not None
        self._frame_of: Callable[[str], bytes] = lambda word: frame(encode_word(word))
        self._end_frame = b"" if end is None else frame(end)
        self._words = EncodedFrames(map(self._frame_of, WORDS))
        self._end = EncodedFrames([self._end_frame] if self.has_end else [])

    def steady(self, *, count: int | None, first_s: float, gap_s: float) -> RepeatedStream:
        """The first `count` words and the end frame; if None, endless words."""
        return RepeatedStream(self.head, self._words, end=self._end, count=count, first_s=first_s, gap_s=gap_s)

    def with_faults(self, words: Iterator[str], fault_plan: FaultPlan) -> Iterator[bytes]:
        """The frames of `words` with the changes of the fault plan, then the end frame, b"" for none."""
        for number, word in enumerate(words):
            yield self._frame_of(fault_plan.token_text(number, word))
        yield self._end_frame


class PlainStream:
    """The handler of one streaming route. `endless`: until the client disconnects, unless the grammar sets `tokens`.

    `under` has the route's defaults, which the operator's configuration overrides.
    """

    def __init__(
        self,
        plain_format: PlainFormat,
        *,
        shared: Shared,
        under: Simulation = DEFAULTS,
        endless: bool = False,
    ) -> None:
        self._format = plain_format
        self._shared = shared
        self._under = under
        self._endless = endless
        self._configured: Simulation | None = None
        self._defaults = under
        self._cache: dict[tuple[bytes, bytes], RepeatedStream] = {}
        """Streams without randomness, by query and X-Sim header: thousands of clients share one object."""

    def __call__(self, request: Request) -> TimedStream | Loadable:
        """Raises `InvalidRequest`, and the error that the grammar sets in place of a response."""
        state = self._shared.state
        if state.configured is not self._configured:
            self._configured = state.configured
            self._defaults = self._under.overlay(state.configured)
            self._cache.clear()
        cached = self._cache.get((request.query_string, request.headers.get(b"x-sim", b"")))
        if cached is None:
            return self._create(request)
        state.limiter.acquire()
        return cached

    def _create(self, request: Request) -> TimedStream | Loadable:
        state = self._shared.state
        sim = parsed_simulation(request, self._defaults)
        if sim.profile and not PROFILES.is_loaded:
            return PROFILES
        if sim.profile or sim.script:
            sim = self._shared.with_profile(parsed_simulation(request, state.configured), under=self._under)
        endless = self._endless and sim.tokens is None
        if sim.status or sim.limit or sim.fault or sim.gate or sim.load or sim.text == "words":
            return self._with_faults(request, sim, endless=endless)
        random = random_of(sim)
        count = _count(sim, random, endless=endless)
        gap = sim.gap or GAP
        steady = self._format.steady(count=count, first_s=(sim.ttft or gap).mean_s, gap_s=gap.mean_s)
        stream: TimedStream = steady
        if random is not None and (gap.cv or (sim.ttft and sim.ttft.cv)):
            gaps = schedule(sim.ttft, gap, random=random)
            stream = PacedStream(self._format.head, steady.frames, gaps=gaps, endless=endless)
            stream.ends_in_token = steady.ends_in_token
        elif random is None and not sim.profile:
            self._add_to_cache(request, steady)
        self._set_control_frames(stream)
        state.limiter.acquire()
        stream.ended = self._shared.release
        return stream

    def _add_to_cache(self, request: Request, stream: RepeatedStream) -> None:
        key = (request.query_string, request.headers.get(b"x-sim", b""))
        if sum(map(len, key)) <= MAX_CACHED_KEY_BYTES:
            if len(self._cache) >= MAX_CACHED_STREAMS:
                self._cache.clear()
            self._cache[key] = stream

    def _set_control_frames(self, stream: TimedStream) -> None:
        """Set the format's keepalive and shutdown frame."""
        stream.keepalive, stream.shutdown_frame = self._format.keepalive, self._format.shutdown_frame

    def _with_faults(self, request: Request, sim: Simulation, *, endless: bool) -> PacedStream:
        """A stream that needs a fault plan, or has random words."""
        shared, plain_format = self._shared, self._format
        shared.refuse(request, sim)
        random = _random(sim.seed)
        count = _count(sim, random, endless=endless)
        faults = draw_faults(sim, random)
        caller = shared.callers.of(request)
        fault_plan = shared.state.fault_plan(sim, faults, caller=caller)
        fault_plan = fault_plan or FaultPlan(faults, permit=shared.state.limiter.permit(None))
        texts = (random.choice(WORDS) for _ in repeat(None)) if sim.text == "words" else cycle(WORDS)
        plain = plain_format.with_faults(islice(texts, count), fault_plan)
        tokens = maxsize if count is None else count
        frames = items(fault_plan, plain, tokens=tokens, error_frame=lambda: plain_format.error_frame)
        gaps = shared.state.gaps(schedule(sim.ttft, sim.gap or GAP, random=random), sim.load, caller=caller)
        stream = PacedStream(plain_format.head, frames, gaps=fault_plan.gaps(gaps), endless=endless)
        self._set_control_frames(stream)
        stream.ends_in_token = fault_plan.ends_in_token(has_end=plain_format.has_end)
        if fault_plan.ends_in_error:
            stream.outcome = "failed"
        stream.ended = fault_plan.permit.release
        return stream


def items(
    fault_plan: FaultPlan, frames: Iterator[bytes], *, tokens: int, error_frame: Callable[[], bytes]
) -> Callable[[bool], Iterator[Item]]:
    """The items of a `PacedStream` with faults; the arguments are those of `FaultPlan.items`."""
    return lambda chunked: fault_plan.items(
        frames, tokens=tokens, error_frame=error_frame, encode_chunk=chunk if chunked else bytes
    )


def _count(sim: Simulation, random: Random | None, *, endless: bool) -> int | None:
    """Number of words; None for an endless stream."""
    if sim.tokens:
        return response_length(sim.tokens, random)
    return None if endless else len(WORDS)


_ITEMS = ("First item", "Second item", "Third item")


class DataDocument:
    """`GET /api/data`: one JSON document, sent immediately or after the configured `ttft`."""

    def __init__(self, shared: Shared, clock: Clock) -> None:
        items = b",".join(plain_stream.token_document(text, finish=text.startswith("Third")) for text in _ITEMS)
        about = flat_object({"id": "a1b2-c3d4-e5f6", "type": "static_response", "message": PARAGRAPH})
        body = b'%b,"payload":[%b]}' % (about[:-1], items)
        self._response = Response(200, body, content_type="application/json")
        self._shared = shared
        self._clock = clock

    def __call__(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
        """Raises `InvalidRequest`, and the error that the grammar sets in place of a response."""
        plan = parsed_simulation(request, self._shared.state.configured)
        if plan.status or plan.limit:
            self._shared.refuse(request, plan)
        if plan.ttft is None:
            return self._response
        wait_s = draw(plan.ttft, _random(plan.seed))
        return self._later(request.started_s + wait_s)

    async def _later(self, deadline_s: float) -> Response:
        await self._clock.sleep_until(deadline_s)
        return self._response


def parsed_simulation(request: Request, defaults: Simulation) -> Simulation:
    """The configuration of a request: its query over its X-Sim header over `defaults`. Raises `InvalidRequest`."""
    header = request.header(b"x-sim")
    if header:
        defaults = defaults.overlay(parse(header))
    return defaults.overlay(from_pairs(request.query())) if request.query_string else defaults


def random_of(plan: Simulation) -> Random | None:
    """The random generator of one stream; None if nothing is random, as a generator takes 2.5 KiB per stream."""
    varies = (plan.gap and plan.gap.cv) or (plan.ttft and plan.ttft.cv)
    if varies or (plan.tokens and plan.tokens.least != plan.tokens.most):
        return _random(plan.seed)
    return None


def _random(seed: int | None) -> Random:
    from random import Random  # noqa: PLC0415 - half a MiB, not needed without randomness

    return Random(seed)  # noqa: S311 - for simulation, not for secrets


_SSE: Medium = (sse.CONTENT_TYPE, sse.frame, sse.PING, plain_stream.error_frame)
_NDJSON: Medium = (ndjson.CONTENT_TYPE, ndjson.frame, b"", plain_stream.error_line)


def sse_stream(shared: Shared) -> PlainStream:
    """`/stream-sse`."""
    return PlainStream(PlainFormat(_SSE, _word_document, end=_END), shared=shared)


def ndjson_stream(shared: Shared) -> PlainStream:
    """`/stream-ndjson`."""
    return PlainStream(PlainFormat(_NDJSON, _word_document, end=_END), shared=shared)


def loop_stream(shared: Shared) -> PlainStream:
    """`/stream-loop`."""
    return PlainStream(PlainFormat(_SSE, str.encode, end=None), shared=shared, under=LOOP_DEFAULTS, endless=True)


def _word_document(word: str) -> bytes:
    return plain_stream.token_document(f"{word} ")
