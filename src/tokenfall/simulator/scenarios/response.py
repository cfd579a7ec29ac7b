"""Converts a scenario turn to the parts of a planned response. Pure."""

from collections.abc import Sequence

from tokenfall.events import FinishReason
from tokenfall.messages import ToolCall
from tokenfall.simulator.planning import PlannedPart, ScenarioResponse
from tokenfall.simulator.scenarios.format import CallStep, ErrorStep, ScenarioTurn, Step, TextStep
from tokenfall.tokens import tokens_of


def response_of(turn: ScenarioTurn, *, call_ids: str, reasoning: bool) -> ScenarioResponse:
    """The response of `turn`, which must have steps. `call_ids` is the prefix of the ids of its tool calls.

    Reasoning is omitted unless `reasoning` is set.
    """
    parts = tuple(_parts(turn.steps, call_ids, reasoning=reasoning))
    reason: FinishReason = "tool_calls" if any(part.call for part in parts) else "stop"
    last = turn.steps[-1]
    error = last.message if isinstance(last, ErrorStep) else ""
    return ScenarioResponse(parts, turn.finish_reason or reason, error)


def _parts(steps: Sequence[Step], call_ids: str, *, reasoning: bool) -> list[PlannedPart]:
    parts: list[PlannedPart] = []
    calls = 0
    for step in steps:
        if isinstance(step, CallStep):
            call = ToolCall(f"{call_ids}{calls}", step.name, "")
            parts.append(PlannedPart(tokens_of(step.arguments), call=call))
            calls += 1
        elif isinstance(step, TextStep):
            parts.append(PlannedPart(tokens_of(step.text)))
        elif not isinstance(step, ErrorStep) and reasoning:
            parts.append(PlannedPart(tokens_of(step.text), thought=True))
    return parts
