"""A model that is none: it says prose, at the times that its grammar asks for, with the faults that it asks for."""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from itertools import chain
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
from tokenfall.events import Delta, Finished, Thought
from tokenfall.messages import ChatRequest
from tokenfall.ports import Clock, Hear
from tokenfall.simulator.fault_plan import Course
from tokenfall.simulator.grammar import Simulation, parse
from tokenfall.simulator.library import RECORDING, Library
from tokenfall.simulator.planning import Plan, Timing, Told, plan
from tokenfall.simulator.state import DEFAULTS, Stage
from tokenfall.simulator.waiting import passed
from tokenfall.slices import Sliced
from tokenfall.slicing import run_sliced
from tokenfall.threads import in_thread

if TYPE_CHECKING:
    from tokenfall.simulator.scenarios.format import ScriptedTurn

MODEL = "sim"
"""The simulated model's name; `sim:` with the grammar behind it is the same model told otherwise."""

LATEST = "latest"
"""The tag that Ollama's clients put behind a name without one: no grammar, but the same model."""

BROKE_OFF = "the simulated model broke off, as was asked for"
"""What a fault `error` says."""

_BROKEN = b"\xfe"
_END = b"\xfd"
_THOUGHT, _TEXT = b"\xfb", b"\xfc"
"""What begins a frame: no byte of UTF-8, so that half a frame has none."""


def is_simulated(model: str) -> bool:
    """Whether `model` names the simulator: `sim`, or `sim:` and a grammar."""
    return model == MODEL or model.startswith(f"{MODEL}:")


class Decided(Struct, frozen=True):
    """What holds for one request: the grammar as a whole, the script's turn, and measured times."""

    simulation: Simulation
    turn: Any = None
    """A `ScriptedTurn`."""
    timing: Timing | None = None


class SimulatedEngine:
    """Answers every question. The stage's defaults hold where neither the model's name nor `simulation` says otherwise.

    A fault looks to who asked as an upstream's does: a reset is a reset.
    """

    def __init__(self, clock: Clock, stage: Stage, *, library: Library | None = None) -> None:
        self.stage = stage
        self.library = library or Library()
        self._clock = clock

    async def reply(self, request: ChatRequest, hear: Hear) -> Finished:
        """See `Engine`. Raises `InvalidRequest` on a mistake in the grammar, and what a fault asks for."""
        said = self.said(request)
        if not self.library.is_ready(said):
            await in_thread(lambda: self.library.check(said))
        decided = await run_sliced(self.decide(request, said))
        simulation = decided.simulation
        planned = await run_sliced(self.plan(request, decided))
        finished = Finished(planned.choices[0].reason, MODEL, planned.usage)
        stage = self.stage
        course = stage.course(simulation, planned.faults)
        gaps = stage.gaps(planned.gaps, simulation.load)
        if course is None:
            stage.house.enter()
            try:
                await self._say(planned, gaps, hear=hear)
            finally:
                stage.house.leave()
        else:
            try:
                await self._enact(planned, course, gaps=course.gaps(gaps), hear=hear)
            finally:
                course.ticket.leave()
        return finished

    def said(self, request: ChatRequest) -> Simulation:
        """What was said of `request`, nearer over farther: with it, by its model's name, by the operator."""
        suffix = request.model.partition(":")[2] if is_simulated(request.model) else ""
        suffix = "" if suffix == LATEST else suffix
        return self.stage.said.overlay(parse(suffix)).overlay(parse(request.simulation))

    def decide(self, request: ChatRequest, said: Simulation) -> "Sliced[Decided]":
        """What holds for `request`, of which `said` was said.

        Raises `InvalidRequest`, and `NotFound` where a script has no turn for it.
        """
        turn: ScriptedTurn | None = None
        if said.script is not None and not said.script.endswith(RECORDING):
            turn = yield from self.library.script(said.script).find(request)
            said = said.overlay(turn.simulation)
        under = DEFAULTS
        timing: Timing | None = None
        if said.profile is not None:
            profile = self.library.profile(said.profile)
            if isinstance(profile, Simulation):
                under = DEFAULTS.overlay(profile)
            else:
                timing = profile
        return Decided(under.overlay(said), turn, timing)

    def plan(self, request: ChatRequest, decided: "Decided", *, call_ids: str = "call_") -> Sliced[Plan]:
        """What is said to `request`, and when. Raises `InvalidRequest`."""
        told = Told(timing=decided.timing)
        if decided.turn is not None and decided.turn.steps:
            from tokenfall.simulator.scenarios.speaking import spoken  # noqa: PLC0415 - it is loaded with the script

            says = spoken(decided.turn, call_ids=call_ids, reasoning=request.reasoning or request.shows_thoughts)
            told = Told(says.parts, says.reason, says.error or "", decided.timing)
        return plan(request, decided.simulation, call_ids=call_ids, told=told)

    async def _say(self, planned: Plan, gaps: Iterator[float], *, hear: Hear) -> None:
        clock = self._clock
        due_s = clock.now()
        for part in planned.choices[0].parts:
            for text in part.tokens:
                due_s += next(gaps)
                await clock.sleep_until(due_s)
                full = hear(Thought(text) if part.thought else Delta(text))
                if full is not None:
                    await full
        await clock.sleep_until(due_s + next(gaps))

    async def _enact(self, planned: Plan, course: Course, *, gaps: Iterator[float], hear: Hear) -> None:
        """Say it with what happens on the way. Raises the error that a fault is to who listens."""
        clock, decoder = self._clock, getincrementaldecoder("utf-8")()
        parts = planned.choices[0].parts
        said = enumerate((text, part.thought) for part in parts for text in part.tokens)
        frames = chain((_frame(course.spoken(number, text), thought) for number, (text, thought) in said), (_END,))
        tokens = sum(len(part.tokens) for part in parts)
        items = course.items(frames, tokens=tokens, broken=_BROKEN, coded=bytes)
        due_s = clock.now()
        thinks = False
        for item in items:
            due_s += next(gaps)
            await clock.sleep_until(due_s)
            if isinstance(item, Disconnect):
                raise _broken_off(item)
            if not isinstance(item, bytes):
                await passed(item)
                due_s = clock.now()
                continue
            if item == _END:
                return
            if item[:1] in (_THOUGHT, _TEXT):
                thinks, item = item[:1] == _THOUGHT, item[1:]  # noqa: PLW2901 - the mark is no part of it
            try:
                text = decoder.decode(item)
            except UnicodeDecodeError:
                raise _failed(item, planned.error) from None
            full = hear(Thought(text) if thinks else Delta(text)) if text else None
            if full is not None:
                await full
        raise UpstreamTruncated("the simulated answer ended without its end, as was asked for")


def _frame(text: str, thought: bool) -> bytes:
    return (_THOUGHT if thought else _TEXT) + text.encode()


def _broken_off(sever: Disconnect) -> TokenfallError:
    if sever.how == "reset":
        return UpstreamReset("the simulated connection was reset, as was asked for")
    return UpstreamTruncated("the simulated connection was closed, as was asked for")


def _failed(item: bytes, error: str) -> TokenfallError:
    if item == _BROKEN:
        return UpstreamStreamError(error or BROKE_OFF)
    return UpstreamMalformed("the simulated answer became garbage, as was asked for")
