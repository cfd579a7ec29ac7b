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


class ControlFrames:
    """The frames of a format besides text: keepalive (b"" for none), last frame at server shutdown, error."""

    def __init__(self, keepalive: bytes, shutdown_frame: bytes, *, error_frame: bytes) -> None:
        self.keepalive = keepalive
        self.shutdown_frame = lambda _next_frame: shutdown_frame
        self.error_frame = error_frame


_SSE = ControlFrames(
    sse.PING, plain_stream.error_frame(*_SHUTTING_DOWN), error_frame=plain_stream.error_frame(*_BROKEN)
)


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


class TextFrames:
    """The frames of the words of a text, repeated endlessly, and the end frame. `frame_of` encodes a word."""

    def __init__(self, frame_of: Callable[[str], bytes], end: bytes) -> None:
        self._frame_of = frame_of
        self._end_frame = end
        self._words = EncodedFrames(map(frame_of, WORDS))
        self._end = EncodedFrames([end] if end else [])
        self.has_end = end != b""
        self.length = len(WORDS)

    def steady(self, head: StreamHead, *, count: int | None, first_s: float, gap_s: float) -> RepeatedStream:
        """The first `count` words and the end frame; if None, endless words."""
        return RepeatedStream(head, self._words, end=self._end, count=count, first_s=first_s, gap_s=gap_s)

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
        frames: TextFrames,
        head: StreamHead,
        *,
        shared: Shared,
        under: Simulation = DEFAULTS,
        endless: bool = False,
        control_frames: ControlFrames,
    ) -> None:
        self._frames = frames
        self._head = head
        self._shared = shared
        self._under = under
        self._endless = endless
        self._configured: Simulation | None = None
        self._defaults = under
        self._control_frames = control_frames
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
        count = response_length(sim.tokens, random) if sim.tokens else None if endless else self._frames.length
        gap = sim.gap or GAP
        steady = self._frames.steady(self._head, count=count, first_s=(sim.ttft or gap).mean_s, gap_s=gap.mean_s)
        stream: TimedStream = steady
        if random is not None and (gap.cv or (sim.ttft and sim.ttft.cv)):
            gaps = schedule(sim.ttft, gap, random=random)
            stream = PacedStream(self._head, steady.frames, gaps=gaps, endless=endless)
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

    def _stream(self, frames: Callable[[bool], Iterator[Item]], gaps: Iterator[float], *, endless: bool) -> PacedStream:
        stream = PacedStream(self._head, frames, gaps=gaps, endless=endless)
        self._set_control_frames(stream)
        return stream

    def _set_control_frames(self, stream: TimedStream) -> None:
        """Set the format's keepalive and shutdown frame."""
        stream.keepalive, stream.shutdown_frame = self._control_frames.keepalive, self._control_frames.shutdown_frame

    def _with_faults(self, request: Request, sim: Simulation, *, endless: bool) -> PacedStream:
        """A stream that needs a fault plan, or has random words."""
        shared = self._shared
        shared.refuse(request, sim)
        random = _random(sim.seed)
        count = response_length(sim.tokens, random) if sim.tokens else None if endless else self._frames.length
        faults = draw_faults(sim, random)
        caller = shared.callers.of(request)
        fault_plan = shared.state.fault_plan(sim, faults, caller=caller)
        fault_plan = fault_plan or FaultPlan(faults, permit=shared.state.limiter.permit(None))
        texts = (random.choice(WORDS) for _ in repeat(None)) if sim.text == "words" else cycle(WORDS)
        plain = self._frames.with_faults(islice(texts, count), fault_plan)
        tokens = maxsize if count is None else count
        error_frame = self._control_frames.error_frame

        def frames(chunked: bool) -> Iterator[Item]:
            code = chunk if chunked else bytes
            return fault_plan.items(plain, tokens=tokens, error_frame=lambda: error_frame, encode_chunk=code)

        gaps = shared.state.gaps(schedule(sim.ttft, sim.gap or GAP, random=random), sim.load, caller=caller)
        stream = self._stream(frames, fault_plan.gaps(gaps), endless=endless)
        stream.ends_in_token = fault_plan.ends_in_token(has_end=self._frames.has_end)
        if fault_plan.ends_in_error:
            stream.outcome = "failed"
        stream.ended = fault_plan.permit.release
        return stream


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


def sse_stream(shared: Shared) -> PlainStream:
    """`/stream-sse`."""
    frames = TextFrames(lambda word: sse.frame(plain_stream.token_document(f"{word} ")), sse.frame(_END))
    return PlainStream(frames, StreamHead(sse.CONTENT_TYPE), shared=shared, control_frames=_SSE)


def ndjson_stream(shared: Shared) -> PlainStream:
    """`/stream-ndjson`."""
    frames = TextFrames(lambda word: ndjson.frame(plain_stream.token_document(f"{word} ")), ndjson.frame(_END))
    control_frames = ControlFrames(
        b"", plain_stream.error_line(*_SHUTTING_DOWN), error_frame=plain_stream.error_line(*_BROKEN)
    )
    return PlainStream(frames, StreamHead(ndjson.CONTENT_TYPE), shared=shared, control_frames=control_frames)


def loop_stream(shared: Shared) -> PlainStream:
    """`/stream-loop`."""
    frames = TextFrames(lambda word: sse.frame(word.encode()), b"")
    return PlainStream(
        frames, StreamHead(sse.CONTENT_TYPE), shared=shared, under=LOOP_DEFAULTS, endless=True, control_frames=_SSE
    )
