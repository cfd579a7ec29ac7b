"""Simulated answers to provider requests: a paced stream or a document, with what the grammar makes go wrong."""

from collections.abc import Callable, Coroutine, Iterator
from hashlib import sha256
from itertools import chain, islice
from os import urandom
from time import time
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tokenfall.api.documents import continued, document, gathered, joined
from tokenfall.api.even_stream import EvenStream, is_even
from tokenfall.api.guard import Keys
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.simulated_response import choices_of, frames
from tokenfall.api.simulator import PROFILES
from tokenfall.disconnect import Disconnect
from tokenfall.errors import SimulatedFailure, shutting_down
from tokenfall.events import Finished
from tokenfall.http.loadable import THREADING, Loadable, Modules
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, PacedStream, Response, StreamHead, TimedStream
from tokenfall.messages import ChatRequest
from tokenfall.ports import Clock
from tokenfall.simulator.engine import BROKE_OFF, SimulatedEngine
from tokenfall.simulator.fault_plan import ERROR, GARBAGE, FaultPlan, Step, garbled
from tokenfall.simulator.grammar import Simulation
from tokenfall.simulator.library import RECORDING
from tokenfall.simulator.planning import Plan, prompt_tokens
from tokenfall.simulator.waiting import passed
from tokenfall.slices import Sliced
from tokenfall.slicing import later, run_sliced, start_sliced
from tokenfall.threads import in_thread
from tokenfall.tokens import SLICE_TOKENS
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import (
    UNBOUNDED,
    Dialect,
    Encoder,
    ModelResponse,
    ParsedRequest,
    ResponseMeta,
    ResponseTiming,
)

LARGE_BODY_BYTES = 16_384
"""To decode a larger body takes as long as planning may take at once."""

SCHEMAS = Modules("tokenfall.simulator.structured_output")
"""What the first tool or JSON schema needs."""

SCRIPTS = Modules(
    "concurrent.futures.thread",
    "pathlib",
    "tokenfall.simulator.scenarios.files",
    "tokenfall.simulator.scenarios.response",
    after=THREADING,
)
RECORDINGS = Modules(
    "concurrent.futures.thread", "tokenfall.recording.recordings", "tokenfall.api.replay", after=THREADING
)
"""What the first script or recording needs."""

SEEDED_S = 1_700_000_000.0
"""When a seeded answer was made: the same seed and request give the same bytes."""


class _Prepared(Struct, frozen=True):
    """All that is decided of one answer before its first token."""

    asked: ParsedRequest
    simulation: Simulation
    meta: ResponseMeta
    planned: Plan
    finished: Finished
    fault_plan: FaultPlan | None
    gaps: Iterator[float]


Whole = Response | LiveStream | Disconnect
Played = TimedStream | Coroutine[Any, Any, Whole]


class _Counted:
    """Gaps, and how much they were so far: what a seeded answer says of its time must not depend on the clock."""

    def __init__(self, gaps: Iterator[float]) -> None:
        self._gaps = gaps
        self.total_s = 0.0

    def __iter__(self) -> Iterator[float]:
        return self

    def __next__(self) -> float:
        gap_s = next(self._gaps)
        self.total_s += gap_s
        return gap_s


class SimulatedProvider:
    """The simulated side of one route."""

    def __init__(
        self, dialect: Dialect, engine: SimulatedEngine, *, clock: Clock, injected_errors: InjectedErrors, keys: Keys
    ) -> None:
        self._dialect = dialect
        self._engine = engine
        self._clock = clock
        self._now = clock.now
        self._injected_errors = injected_errors
        self._keys = keys
        self._leave = engine.state.limiter.leave
        self._head = StreamHead(dialect.stream_type)
        self._farewell = dialect.error_frame(
            ApiError(status=503, code=shutting_down().code, message=shutting_down().message), 0
        )

    def answer(
        self, request: Request, asked: ParsedRequest
    ) -> TimedStream | Loadable | Coroutine[Any, Any, TimedStream | Whole]:
        """The answer. Raises what the grammar asks for before the first token, and `InvalidRequest`."""
        header = request.header(b"x-sim")
        chat = replace(asked.request, simulation=header) if header else asked.request
        simulation = self._engine.simulation(chat)
        needed = _needed(chat, simulation)
        if needed is not None:
            return needed
        work = self._planned(request, asked, chat=chat, simulation=simulation)
        if not self._engine.library.is_ready(simulation):
            return self._answered(request, work, unread=simulation)
        if len(request.body) > LARGE_BODY_BYTES:
            return self._answered(request, work)
        planned = start_sliced(work)
        if isinstance(planned, Coroutine):
            planned.close()  # a coroutine around it goes on, which may be closed before it begins
            return self._answered(request, work)
        return self._played(request, planned)

    async def _answered(
        self, request: Request, work: Sliced[_Prepared | Simulation], *, unread: Simulation | None = None
    ) -> TimedStream | Whole:
        """The answer to a request that takes longer to plan than it may take at once.

        `unread` names a file that has to be read first.
        """
        if unread is not None:
            await in_thread(lambda: self._engine.library.check(unread))
        answer = self._played(request, await later(work))
        return await answer if isinstance(answer, Coroutine) else answer

    def _played(self, request: Request, prepared: _Prepared | Simulation) -> Played:
        if isinstance(prepared, Simulation):
            return self._replayed(request, prepared)
        return self._stream(request, prepared) if prepared.asked.stream else self._later(request, prepared)

    def _planned(
        self, request: Request, asked: ParsedRequest, *, chat: ChatRequest, simulation: Simulation
    ) -> Sliced[_Prepared | Simulation]:
        """What is decided of the answer; the grammar alone where a recording is replayed."""
        decided = yield from self._engine.decide(chat, simulation)
        simulation = decided.simulation
        if simulation.status or simulation.limit:
            yield from self._refuse(request, simulation, chat=chat)
        if simulation.script is not None and simulation.script.endswith(RECORDING):
            return simulation
        meta = _response_meta(request, asked, seed=simulation.seed)
        planned = yield from self._engine.plan(chat, decided, call_ids=f"call_{meta.number}")
        meta = replace(meta, prompt_tokens=planned.usage.prompt_tokens)
        choice = planned.choices[0]
        state = self._engine.state
        fault_plan = state.fault_plan(simulation, planned.faults)
        gaps = state.gaps(planned.gaps, simulation.load)
        return _Prepared(
            asked,
            simulation,
            meta,
            planned,
            Finished(choice.reason, asked.request.model, planned.usage, choice.stop),
            fault_plan,
            gaps if fault_plan is None else fault_plan.gaps(gaps),
        )

    def _refuse(self, request: Request, simulation: Simulation, *, chat: ChatRequest) -> Sliced[None]:
        """Raises what the grammar asks for in place of an answer; says in the head what a limit leaves."""
        wanted = (yield from prompt_tokens(chat)) + (0 if chat.max_tokens >= UNBOUNDED else chat.max_tokens)
        owner = self._keys.owner(request)
        self._injected_errors.enforce(request, simulation, owner=owner, tokens=wanted, tell=self._dialect.limits)

    def _replayed(self, request: Request, simulation: Simulation) -> Played:
        from tokenfall.api.replay import replayed  # noqa: PLC0415 - few replay

        recording = self._engine.library.recording(simulation.script or "")
        return replayed(recording, request, clock=self._clock, speed=simulation.speed or 1.0)

    def _error_frame(self, planned: Plan, encoder: Encoder) -> Callable[[], bytes]:
        """Makes the frame of a fault `error`, numbered after the frames written so far."""
        api_error = ApiError(status=500, code=SimulatedFailure.code, message=planned.error or BROKE_OFF)
        return lambda: self._dialect.error_frame(api_error, self._dialect.frame_count(encoder))

    def _stream(self, request: Request, prepared: _Prepared) -> TimedStream:
        stream = self._even(request, prepared) or self._any(request, prepared)
        stream.keepalive, stream.shutdown_frame = self._dialect.keepalive, self._farewell
        if prepared.fault_plan is None:
            self._engine.state.limiter.enter()
            stream.ended = self._leave
        else:
            stream.ended = prepared.fault_plan.permit.leave
            stream.ends_in_token = prepared.fault_plan.ends_in_token()
        return stream

    def _even(self, request: Request, prepared: _Prepared) -> EvenStream | None:
        """The answer in the form that takes the least, None where it has none."""
        if prepared.fault_plan is not None or not is_even(prepared.planned, prepared.simulation):
            return None
        encoder = self._dialect.encoder(prepared.asked, prepared.meta)
        try:
            return EvenStream(
                self._head,
                prepared.planned,
                encoder=encoder,
                finished=prepared.finished,
                now=self._now,
                started_s=request.started_s,
            )
        except ValueError:
            return None

    def _any(self, request: Request, prepared: _Prepared) -> PacedStream:
        """Any answer, frame by frame."""
        started_s, now = request.started_s, self._now
        fault_plan = prepared.fault_plan
        first_s = 0.0
        gaps = prepared.gaps
        if fault_plan is None:  # on a course the first gap is that of the door
            first_s = next(gaps)
            gaps = chain((first_s,), gaps)
        counted = None if prepared.simulation.seed is None else _Counted(gaps)
        encoder = self._dialect.encoder(prepared.asked, prepared.meta)
        return PacedStream(
            self._head,
            frames(
                prepared.planned,
                encoder,
                finished=prepared.finished,
                timing=lambda: ResponseTiming(now() - started_s if counted is None else counted.total_s, first_s),
                fault_plan=fault_plan,
                error_frame=self._error_frame(prepared.planned, encoder),
            ),
            gaps=gaps if counted is None else counted,
        )

    # Whole answers

    async def _later(self, request: Request, prepared: _Prepared) -> Whole:
        """The whole answer, when its last token is due."""
        limiter, fault_plan = self._engine.state.limiter, prepared.fault_plan
        if fault_plan is None:
            limiter.enter()
            try:
                return await self._document(request.started_s, prepared)
            finally:
                limiter.leave()
        try:
            await passed(fault_plan.permit)
            return await self._enacted(prepared, fault_plan)
        finally:
            fault_plan.permit.leave()

    async def _document(self, started_s: float, prepared: _Prepared) -> Response | LiveStream:
        tokens = prepared.planned.usage.completion_tokens
        first_s = next(prepared.gaps)
        timing = ResponseTiming(
            total_s=await run_sliced(_total(prepared.gaps, tokens, first_s=first_s)), first_token_s=first_s
        )
        pieces = await self._pieces(prepared, timing)
        begun = await run_sliced(gathered(pieces))
        await self._clock.sleep_until(started_s + timing.total_s)
        return continued(begun, pieces)

    async def _pieces(self, prepared: _Prepared, timing: ResponseTiming) -> Iterator[bytes]:
        choices = await run_sliced(choices_of(prepared.planned))
        answer = ModelResponse(meta=prepared.meta, choices=choices, finished=prepared.finished, timing=timing)
        return iter(self._dialect.encode_response(prepared.asked, answer))

    async def _enacted(self, prepared: _Prepared, fault_plan: FaultPlan) -> Whole:
        """A fault of a token happens at the time of the token, before any byte of the response is sent."""
        clock = self._clock
        now_s = due_s = clock.now()
        steps = fault_plan.steps(prepared.planned.usage.completion_tokens)
        garbage = False
        gaps = _Counted(prepared.gaps)
        next(steps), next(gaps)  # the permit, which the caller has acquired
        for step in steps:
            due_s += next(gaps)
            await clock.sleep_until(due_s)
            if isinstance(step, Disconnect):
                return step
            if not isinstance(step, Step):
                await passed(step)
                due_s = clock.now()
            elif step is ERROR:
                raise SimulatedFailure(prepared.planned.error or BROKE_OFF, status=500)
            garbage = garbage or step is GARBAGE
        if fault_plan.lacks_its_end:
            return Disconnect("close")
        timing = ResponseTiming(total_s=clock.now() - now_s if prepared.simulation.seed is None else gaps.total_s)
        pieces = await self._pieces(prepared, timing)
        if garbage:
            return document(garbled(await run_sliced(joined(pieces))))
        return continued(await run_sliced(gathered(pieces)), pieces)


def _needed(chat: ChatRequest, simulation: Simulation) -> Loadable | None:
    """The first of what this request needs that is not loaded yet."""
    needed: list[Loadable] = []
    if chat.schema is not None or chat.tools:
        needed.append(SCHEMAS)
    if simulation.script is not None:
        needed.append(RECORDINGS if simulation.script.endswith(RECORDING) else SCRIPTS)
    if simulation.profile is not None:
        needed.append(PROFILES)
    return next((each for each in needed if not each.is_loaded), None)


def _total(gaps: Iterator[float], count: int, *, first_s: float) -> Sliced[float]:
    """The seconds that `first_s` and the next `count` gaps take."""
    total_s = first_s
    while count > 0:
        total_s = sum(islice(gaps, min(count, SLICE_TOKENS)), total_s)
        count -= SLICE_TOKENS
        if count > 0:
            yield
    return total_s


def _response_meta(request: Request, asked: ParsedRequest, *, seed: int | None) -> ResponseMeta:
    """Names the answer: anew each time, or with a seed the same for the same request."""
    if seed is None:
        return ResponseMeta(urandom(12).hex(), time(), asked.request.model)
    digest = sha256(b"%d %b" % (seed, request.body)).hexdigest()
    return ResponseMeta(digest[:24], SEEDED_S, asked.request.model)
