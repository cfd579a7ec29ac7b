"""The simulated engine: filler text with the timing and the faults that the grammar configures.

Called by the chat through the port `Engine`, and by the provider routes, which use its plan and encode the response
themselves.
"""

from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tokenfall.disconnect import Disconnect
from tokenfall.errors import (
    TokenfallError,
    UpstreamMalformed,
    UpstreamReset,
    UpstreamStreamError,
    UpstreamTruncated,
)
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.messages import ChatRequest
from tokenfall.ports import Clock, OnDelta
from tokenfall.simulator.fault_plan import ERROR, GARBAGE, SPLIT_SUFFIX, FaultPlan, Step
from tokenfall.simulator.grammar import Simulation, parse
from tokenfall.simulator.library import RECORDING, Library
from tokenfall.simulator.planning import Plan, PlannedPart, ScenarioResponse, plan
from tokenfall.simulator.state import DEFAULTS, SimulatorState
from tokenfall.simulator.waiting import wait_at
from tokenfall.slicing.computation import Sliced
from tokenfall.slicing.scheduler import run_sliced
from tokenfall.threads import in_thread

if TYPE_CHECKING:
    from tokenfall.recording.empirical import Empirical
    from tokenfall.simulator.scenarios.format import ScenarioTurn

MODEL = "sim"
"""Name of the simulated model; `sim:GRAMMAR` is the same model with its own configuration."""

LATEST = "latest"
"""The tag that Ollama's clients append to a model name without one. It is not a grammar, and is ignored."""

FAILED_AS_CONFIGURED = "the simulated model failed, as configured"
"""Message of a fault `error`."""


def is_simulated(model: str) -> bool:
    """Whether `model` names the simulator: `sim`, or `sim:` and a grammar."""
    return model == MODEL or model.startswith(f"{MODEL}:")


class ResolvedConfig(Struct, frozen=True):
    """The configuration of one response: merged from all sources, with the scenario's turn and measured times."""

    simulation: Simulation
    turn: Any = None
    """A `ScenarioTurn`."""
    timing: "Empirical | None" = None


class SimulatedEngine:
    """Implements `Engine`. Defaults of `state` apply where neither the model's name nor `simulation` sets a value.

    Faults raise the errors that the same fault of an upstream would: a reset is an `UpstreamReset`.
    """

    def __init__(self, clock: Clock, state: SimulatorState, *, library: Library | None = None) -> None:
        self.state = state
        self.library = library or Library()
        self._clock = clock

    async def reply(self, request: ChatRequest, on_event: OnDelta) -> Finished:
        """See `Engine`. Raises `InvalidRequest` for a mistake in the grammar, and the error of a fault."""
        simulation = self.simulation(request)
        if not self.library.is_ready(simulation):
            await in_thread(lambda: self.library.check(simulation))
        resolved = await run_sliced(self.resolve(request, simulation))
        simulation = resolved.simulation
        planned = await run_sliced(self.plan(request, resolved))
        caller = request.caller
        del request, resolved  # the messages may be large, and the response long
        finished = Finished(planned.choices[0].reason, MODEL, planned.usage)
        state = self.state
        fault_plan = state.fault_plan(simulation, planned.faults, caller=caller)
        gaps = state.gaps(planned.gaps, simulation.load, caller=caller)
        if fault_plan is None:
            state.limiter.acquire()
            try:
                await self._play(planned, gaps, on_event=on_event)
            finally:
                state.limiter.release()
        else:
            try:
                await self._play_with_faults(planned, fault_plan, gaps=fault_plan.gaps(gaps), on_event=on_event)
            finally:
                fault_plan.permit.release()
        return finished

    def simulation(self, request: ChatRequest) -> Simulation:
        """The configuration of `request`: its own, over its model name's suffix, over the operator's."""
        suffix = request.model.partition(":")[2] if is_simulated(request.model) else ""
        suffix = "" if suffix == LATEST else suffix
        return self.state.configured.overlay(parse(suffix)).overlay(parse(request.simulation))

    def resolve(self, request: ChatRequest, simulation: Simulation) -> "Sliced[ResolvedConfig]":
        """Resolve the scenario and the profile that `simulation` names.

        Raises `InvalidRequest`, and `NotFound` if no turn of the scenario matches.
        """
        turn: ScenarioTurn | None = None
        if simulation.script is not None and not simulation.script.endswith(RECORDING):
            turn = yield from self.library.script(simulation.script).find(request)
            simulation = simulation.overlay(turn.simulation)
        timing: Empirical | None = None
        if simulation.profile is not None:
            profile = self.library.profile(simulation.profile)
            if isinstance(profile, Simulation):
                return ResolvedConfig(simulation.over_profile(profile, under=DEFAULTS), turn)
            timing = profile
        return ResolvedConfig(DEFAULTS.overlay(simulation), turn, timing)

    def plan(self, request: ChatRequest, resolved: "ResolvedConfig", *, call_ids: str = "call_") -> Sliced[Plan]:
        """The tokens and the times of the response. Raises `InvalidRequest`."""
        scripted: ScenarioResponse | None = None
        if resolved.turn is not None and resolved.turn.steps:
            from tokenfall.simulator.scenarios.response import response_of  # noqa: PLC0415 - only for scenarios

            reasoning = request.reasoning or request.reports_reasoning
            scripted = response_of(resolved.turn, call_ids=call_ids, reasoning=reasoning)
        return plan(request, resolved.simulation, call_ids=call_ids, scripted=scripted, timing=resolved.timing)

    async def _play(self, planned: Plan, gaps: Iterator[float], *, on_event: OnDelta) -> None:
        clock = self._clock
        due_s = clock.now()
        for part in planned.choices[0].parts:
            for text in part.tokens:
                due_s += next(gaps)
                await clock.sleep_until(due_s)
                full = _report(part, text, on_event=on_event)
                if full is not None:
                    await full
        await clock.sleep_until(due_s + next(gaps))

    async def _play_with_faults(
        self, planned: Plan, fault_plan: FaultPlan, *, gaps: Iterator[float], on_event: OnDelta
    ) -> None:
        """Send the tokens with their faults. Raises the error that an upstream with this fault would cause."""
        clock = self._clock
        texts = ((part, text) for part in planned.choices[0].parts for text in part.tokens)
        tokens = sum(len(part.tokens) for part in planned.choices[0].parts)
        due_s = clock.now()
        part: PlannedPart | None = None
        for step in fault_plan.steps(tokens):
            due_s += next(gaps)
            await clock.sleep_until(due_s)
            if isinstance(step, Disconnect):
                raise _disconnect_error(step)
            if not isinstance(step, Step):
                await wait_at(step)
                due_s = clock.now()
                continue
            if step is ERROR:
                raise UpstreamStreamError(planned.error or FAILED_AS_CONFIGURED)
            if step is GARBAGE:
                raise UpstreamMalformed("the simulated response contained invalid bytes, as configured")
            if step.is_end:
                if step.part == "first":
                    continue
                return
            part, text = (part, SPLIT_SUFFIX) if step.part == "second" else next(texts)
            full = _report(part, text, on_event=on_event)
            if full is not None:
                await full
        raise UpstreamTruncated("the simulated response ended without its final event, as configured")


def _report(part: PlannedPart | None, text: str, *, on_event: OnDelta) -> Awaitable[None] | None:
    """Report a token. Those of a tool call take their time and are not part of the text."""
    if part is None or not (part.thought or part.call):
        return on_event(TextDelta(text))
    return on_event(ReasoningDelta(text)) if part.thought else None


def _disconnect_error(disconnect: Disconnect) -> TokenfallError:
    if disconnect.how == "reset":
        return UpstreamReset("the simulated connection was reset, as configured")
    return UpstreamTruncated("the simulated connection was closed, as configured")
