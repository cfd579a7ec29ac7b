"""Simulated responses to provider requests: plans a response, and streams it with the faults that the grammar sets."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tokenfall.api.even_stream import EvenStream, is_even
from tokenfall.api.guard import Callers
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.prepared_response import PreparedResponse, SummedGaps, response_meta, without_question
from tokenfall.api.simulated_document import CompleteResponse, SimulatedDocument
from tokenfall.api.simulated_response import frames, frames_with_faults
from tokenfall.api.simulator import PROFILES, items
from tokenfall.errors import SimulatedFailure, shutting_down
from tokenfall.events import Finished
from tokenfall.http.loadable import THREADING, Loadable, Modules
from tokenfall.http.request import Request
from tokenfall.http.response import PacedStream, StreamHead, TimedStream
from tokenfall.memory.leases import ResponseMemory
from tokenfall.messages import ChatRequest
from tokenfall.ports import Clock
from tokenfall.simulator.engine import FAILED_AS_CONFIGURED, SimulatedEngine
from tokenfall.simulator.grammar import Simulation
from tokenfall.simulator.library import RECORDING
from tokenfall.simulator.planning import Plan, prompt_tokens
from tokenfall.slicing.computation import Sliced
from tokenfall.slicing.scheduler import later, start_sliced
from tokenfall.threads import in_thread
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import UNBOUNDED, Dialect, Encoder, ParsedRequest, ResponseTiming

if TYPE_CHECKING:
    from tokenfall.api.metrics_vllm import VLLMMetrics

LARGE_BODY_BYTES = 16_384
"""A larger body takes as long to decode as planning may block the loop, so its planning runs in later turns."""

SCHEMAS = Modules("tokenfall.simulator.structured_output")
"""Modules that the first tool or JSON schema needs."""

SCRIPTS = Modules(
    "concurrent.futures.thread",
    "tokenfall.simulator.scenarios.files",
    "tokenfall.simulator.scenarios.response",
    after=THREADING,
)
RECORDINGS = Modules(
    "concurrent.futures.thread", "tokenfall.recording.recordings", "tokenfall.api.replay", after=THREADING
)
"""Modules that the first script, or the first recording, needs."""

Played = TimedStream | Coroutine[Any, Any, CompleteResponse]


class SimulatedProvider:
    """The simulated side of one route."""

    def __init__(
        self,
        dialect: Dialect,
        engine: SimulatedEngine,
        *,
        clock: Clock,
        injected_errors: InjectedErrors,
        callers: Callers,
        memory: ResponseMemory,
    ) -> None:
        self.vllm: VLLMMetrics | None = None
        """Counts each response when it is planned, except for recordings: they have their own text and times."""
        self._dialect = dialect
        self._engine = engine
        self._clock = clock
        self._now = clock.now
        self._injected_errors = injected_errors
        self._callers = callers
        self._memory = memory
        self._document = SimulatedDocument(dialect, engine.state.limiter, clock=clock, memory=memory)
        self._release = engine.state.limiter.release
        self._head = StreamHead(dialect.stream_type)
        api_error = ApiError(status=503, code=shutting_down().code, message=shutting_down().message)
        self._shutdown_frame = lambda frame: dialect.error_frame(api_error, dialect.frame_number(frame))

    def respond(
        self, request: Request, parsed: ParsedRequest
    ) -> TimedStream | Loadable | Coroutine[Any, Any, TimedStream | CompleteResponse]:
        """The response. Raises `InvalidRequest`, and the error that the grammar sets in place of a response."""
        header = request.header(b"x-sim")
        chat = replace(parsed.request, simulation=header or parsed.request.simulation, caller=self._callers.of(request))
        simulation = self._engine.simulation(chat)
        needed = _needed(chat, simulation)
        if needed is not None:
            return needed
        work = self._planned(request, parsed, chat=chat, simulation=simulation)
        if not self._engine.library.is_ready(simulation):
            return self._plan_later(request, work, unread=simulation)
        if len(request.body) > LARGE_BODY_BYTES:
            return self._plan_later(request, work)
        planned = start_sliced(work)
        if isinstance(planned, Coroutine):
            planned.close()  # never awaited, if the coroutine below is closed before it starts
            return self._plan_later(request, work)
        return self._played(request, planned)

    async def _plan_later(
        self, request: Request, work: Sliced[PreparedResponse | Simulation], *, unread: Simulation | None = None
    ) -> TimedStream | CompleteResponse:
        """The response to a request whose planning could block the loop for too long.

        `unread`: the simulation whose file has to be read first.
        """
        if unread is not None:
            await in_thread(lambda: self._engine.library.check(unread))
        response = self._played(request, await later(work))
        return await response if isinstance(response, Coroutine) else response

    def _played(self, request: Request, prepared: PreparedResponse | Simulation) -> Played:
        if isinstance(prepared, Simulation):
            return self._replayed(request, prepared)
        if self.vllm is not None:
            usage = prepared.planned.usage
            self.vllm.started(
                request,
                prompt_tokens=usage.prompt_tokens,
                reason=prepared.finished.reason,
                unstreamed_tokens=0 if prepared.parsed.stream else usage.completion_tokens,
            )
        return self._stream(request, prepared) if prepared.parsed.stream else self._document.respond(request, prepared)

    def _planned(
        self, request: Request, parsed: ParsedRequest, *, chat: ChatRequest, simulation: Simulation
    ) -> Sliced[PreparedResponse | Simulation]:
        """The prepared response; only the grammar if a recording is to be replayed."""
        resolved = yield from self._engine.resolve(chat, simulation)
        simulation = resolved.simulation
        if simulation.status or simulation.limit:
            yield from self._refuse(request, simulation, chat=chat)
        if simulation.script is not None and simulation.script.endswith(RECORDING):
            return simulation
        meta = response_meta(request, parsed, seed=simulation.seed)
        planned = yield from self._engine.plan(chat, resolved, call_ids=f"call_{meta.number}")
        meta = replace(meta, prompt_tokens=planned.usage.prompt_tokens)
        choice = planned.choices[0]
        state = self._engine.state
        fault_plan = state.fault_plan(simulation, planned.faults, caller=chat.caller)
        gaps = state.gaps(planned.gaps, simulation.load, caller=chat.caller)
        return PreparedResponse(
            without_question(replace(parsed, request=chat)),
            simulation,
            meta,
            planned,
            Finished(choice.reason, parsed.request.model, planned.usage, choice.stop),
            fault_plan,
            gaps if fault_plan is None else fault_plan.gaps(gaps),
        )

    def _refuse(self, request: Request, simulation: Simulation, *, chat: ChatRequest) -> Sliced[None]:
        """Raises the error that the grammar sets in place of a response; adds the headers of a simulated rate limit."""
        tokens = (yield from prompt_tokens(chat)) + (0 if chat.max_tokens >= UNBOUNDED else chat.max_tokens)
        owner = chat.caller.name
        self._injected_errors.enforce(
            request, simulation, owner=owner, tokens=tokens, limit_headers=self._dialect.limits
        )

    def _replayed(self, request: Request, simulation: Simulation) -> Played:
        from tokenfall.api.replay import replayed  # noqa: PLC0415 - rarely needed

        recording = self._engine.library.recording(simulation.script or "")
        return replayed(recording, request, clock=self._clock, speed=simulation.speed or 1.0)

    def _error_frame(self, planned: Plan, encoder: Encoder) -> Callable[[], bytes]:
        """Makes the frame of a fault `error`, numbered after the frames written so far."""
        api_error = ApiError(status=500, code=SimulatedFailure.code, message=planned.error or FAILED_AS_CONFIGURED)
        return lambda: self._dialect.error_frame(api_error, self._dialect.frame_count(encoder))

    def _stream(self, request: Request, prepared: PreparedResponse) -> TimedStream:
        """Raises `ResponseMemoryFull`."""
        stream = self._even(request, prepared) or self._paced(request, prepared)
        lease = self._memory.lease(prepared.parsed.request.caller.name)
        lease.resize(prepared.repeated_bytes())
        stream.keepalive, stream.shutdown_frame = self._dialect.keepalive, self._shutdown_frame
        if prepared.fault_plan is None:
            self._engine.state.limiter.acquire()
            stream.ended = self._release
        else:
            stream.ended = prepared.fault_plan.permit.release
            stream.ends_in_token = prepared.fault_plan.ends_in_token()
        if lease.size_bytes:
            stream.ended = _both(stream.ended, lease.release)
        return stream

    def _even(self, request: Request, prepared: PreparedResponse) -> EvenStream | None:
        """The response as an `EvenStream`, which takes the least memory and time; None if it cannot be one."""
        if prepared.fault_plan is not None or not is_even(prepared.planned, prepared.simulation):
            return None
        encoder = self._dialect.encoder(prepared.parsed, prepared.meta)
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

    def _paced(self, request: Request, prepared: PreparedResponse) -> PacedStream:
        """Any response, as a stream of single frames."""
        started_s, now = request.started_s, self._now
        fault_plan = prepared.fault_plan
        first_s = 0.0
        gaps = prepared.gaps
        if fault_plan is None:  # in a fault plan, the first gap is that of the permit
            first_s = next(gaps)
            gaps = chain((first_s,), gaps)
        summed = None if prepared.simulation.seed is None else SummedGaps(gaps)
        planned, finished = prepared.planned, prepared.finished
        encoder = self._dialect.encoder(prepared.parsed, prepared.meta)

        def timing() -> ResponseTiming:
            return ResponseTiming(now() - started_s if summed is None else summed.total_s, first_s)

        def without_faults(chunked: bool) -> Iterator[bytes]:
            return frames(planned, encoder, finished=finished, timing=timing, chunked=chunked)

        gaps = gaps if summed is None else summed
        if fault_plan is None:
            return PacedStream(self._head, without_faults, gaps=gaps)
        plain = frames_with_faults(planned, encoder, finished=finished, timing=timing, fault_plan=fault_plan)
        error_frame = self._error_frame(planned, encoder)
        made = items(fault_plan, plain, tokens=planned.usage.completion_tokens, error_frame=error_frame)
        stream = PacedStream(self._head, made, gaps=gaps)
        if fault_plan.ends_in_error:
            stream.outcome = "failed"
        return stream


def _needed(chat: ChatRequest, simulation: Simulation) -> Loadable | None:
    """The first modules that this request needs and that are not loaded yet."""
    needed: list[Loadable] = []
    if chat.schema is not None or chat.tools:
        needed.append(SCHEMAS)
    if simulation.script is not None:
        needed.append(RECORDINGS if simulation.script.endswith(RECORDING) else SCRIPTS)
    if simulation.profile is not None:
        needed.append(PROFILES)
    return next((each for each in needed if not each.is_loaded), None)


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()

    return call
