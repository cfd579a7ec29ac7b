"""Simulated non-streaming responses of the providers: a document at the time of its last token, or a fault."""

from collections.abc import Iterator
from itertools import islice

from tokenfall.api.documents import continued, document, gathered
from tokenfall.api.prepared_response import PreparedResponse, SummedGaps
from tokenfall.api.simulated_response import choices_of
from tokenfall.disconnect import Disconnect
from tokenfall.errors import SimulatedFailure
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, Response
from tokenfall.memory.leases import MemoryLease, ResponseMemory
from tokenfall.ports import Clock
from tokenfall.simulator.concurrency import ConcurrencyLimiters
from tokenfall.simulator.engine import FAILED_AS_CONFIGURED
from tokenfall.simulator.fault_plan import ERROR, GARBAGE, FaultPlan, Step, garbled
from tokenfall.simulator.waiting import wait_at
from tokenfall.slicing.computation import Sliced
from tokenfall.slicing.scheduler import run_sliced
from tokenfall.tokens import SLICE_TOKENS
from tokenfall.wire.dialect import Dialect, ModelResponse, ResponseTiming

CompleteResponse = Response | LiveStream | Disconnect


class SimulatedDocument:
    """The non-streaming responses of one dialect."""

    def __init__(self, dialect: Dialect, limiter: ConcurrencyLimiters, *, clock: Clock, memory: ResponseMemory) -> None:
        self._dialect = dialect
        self._limiter = limiter
        self._clock = clock
        self._memory = memory

    async def respond(self, request: Request, prepared: PreparedResponse) -> CompleteResponse:
        """The complete response, at the time of its last token."""
        request.drop_content()  # it may be large, and the response late
        limiter, fault_plan = self._limiter, prepared.fault_plan
        if fault_plan is None:
            limiter.acquire()
            try:
                return await self._document(request.started_s, prepared)
            finally:
                limiter.release()
        try:
            await wait_at(fault_plan.permit)
            return await self._with_faults(prepared, fault_plan)
        finally:
            fault_plan.permit.release()

    async def _document(self, started_s: float, prepared: PreparedResponse) -> Response | LiveStream:
        tokens = prepared.planned.usage.completion_tokens
        first_s = next(prepared.gaps)
        timing = ResponseTiming(
            total_s=await run_sliced(_total(prepared.gaps, tokens, first_s=first_s)), first_token_s=first_s
        )
        with self._memory.lease(prepared.parsed.request.caller.name) as lease:
            first_part, pieces = await self._encoded(prepared, timing, lease=lease)
            await self._clock.sleep_until(started_s + timing.total_s)
            return continued(first_part, pieces, lease=lease)

    async def _encoded(
        self, prepared: PreparedResponse, timing: ResponseTiming, *, lease: MemoryLease
    ) -> tuple[bytes, Iterator[bytes]]:
        """The first part of the complete response, and the pieces that follow; `lease` gets what they hold."""
        choices = await run_sliced(choices_of(prepared.planned))
        held = {id(choice): choice.size_bytes() for choice in choices}
        lease.resize(sum(held.values()) + prepared.repeated_bytes())
        response = ModelResponse(meta=prepared.meta, choices=choices, finished=prepared.finished, timing=timing)
        pieces = iter(self._dialect.encode_response(prepared.parsed, response))
        first_part = await run_sliced(gathered(pieces))
        lease.grow(len(first_part))
        return first_part, pieces

    async def _with_faults(self, prepared: PreparedResponse, fault_plan: FaultPlan) -> CompleteResponse:
        """A fault of a token happens at the time of the token, before any byte of the response is sent."""
        clock = self._clock
        now_s = due_s = clock.now()
        steps = fault_plan.steps(prepared.planned.usage.completion_tokens)
        garbage = False
        gaps = SummedGaps(prepared.gaps)
        next(steps), next(gaps)  # the permit, which the caller has acquired
        for step in steps:
            due_s += next(gaps)
            await clock.sleep_until(due_s)
            if isinstance(step, Disconnect):
                return step
            if not isinstance(step, Step):
                await wait_at(step)
                due_s = clock.now()
            elif step is ERROR:
                raise SimulatedFailure(prepared.planned.error or FAILED_AS_CONFIGURED, status=500)
            garbage = garbage or step is GARBAGE
        if fault_plan.is_truncated:
            return Disconnect("close")
        timing = ResponseTiming(total_s=clock.now() - now_s if prepared.simulation.seed is None else gaps.total_s)
        with self._memory.lease(prepared.parsed.request.caller.name) as lease:
            first_part, pieces = await self._encoded(prepared, timing, lease=lease)
            return document(garbled(first_part)) if garbage else continued(first_part, pieces, lease=lease)


def _total(gaps: Iterator[float], count: int, *, first_s: float) -> Sliced[float]:
    """The sum of `first_s` and the next `count` gaps."""
    total_s = first_s
    while count > 0:
        total_s = sum(islice(gaps, min(count, SLICE_TOKENS)), total_s)
        count -= SLICE_TOKENS
        if count > 0:
            yield
    return total_s
