"""What a scripted turn says, in the planner's words. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from tokenfall.events import FinishReason
from tokenfall.messages import ToolCall
from tokenfall.simulator.planning import Part
from tokenfall.simulator.scenarios.format import CallStep, ErrorStep, ScriptedTurn, Step, TextStep
from tokenfall.tokens import tokens_of


class Spoken(Struct, frozen=True):
    """An answer before it is bounded. With `error` set it breaks off with that message after its last token."""

    parts: tuple[Part, ...]
    reason: FinishReason
    error: str | None = None


def spoken(turn: ScriptedTurn, *, call_ids: str, reasoning: bool) -> Spoken:
    """What `turn` says. `call_ids` begins the ids of its tool calls; thoughts are left out without `reasoning`.

    `turn` must have steps: one without leaves the answer to the simulator.
    """
    parts = tuple(_parts(turn.steps, call_ids, reasoning=reasoning))
    reason: FinishReason = "tool_calls" if any(part.call for part in parts) else "stop"
    last = turn.steps[-1]
    error = last.message if isinstance(last, ErrorStep) else None
    return Spoken(parts, turn.finish_reason or reason, error)


def _parts(steps: Sequence[Step], call_ids: str, *, reasoning: bool) -> list[Part]:
    parts: list[Part] = []
    calls = 0
    for step in steps:
        if isinstance(step, CallStep):
            call = ToolCall(f"{call_ids}{calls}", step.name, "")
            parts.append(Part(tokens_of(step.arguments), call=call))
            calls += 1
        elif isinstance(step, TextStep):
            parts.append(Part(tokens_of(step.text)))
        elif not isinstance(step, ErrorStep) and reasoning:
            parts.append(Part(tokens_of(step.text), thought=True))
    return parts
