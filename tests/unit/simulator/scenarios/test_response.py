import pytest

from tokenfall.messages import ToolCall
from tokenfall.simulator.planning import PlannedPart, ScenarioResponse
from tokenfall.simulator.scenarios.files import read_scenario
from tokenfall.simulator.scenarios.response import response_of


def scenario_response(text: str, *, reasoning: bool = False) -> ScenarioResponse:
    return response_of(read_scenario(text.encode(), name="s.yaml").turns[0], call_ids="call_x", reasoning=reasoning)


def test_text_is_split_into_tokens() -> None:
    assert scenario_response("- say: a b") == ScenarioResponse((PlannedPart(["a", " b"]),), "stop")


def test_reasoning_is_omitted_unless_requested() -> None:
    text = "- say: [{think: hm hm}, {text: a}]"

    assert scenario_response(text).parts == (PlannedPart(["a"]),)
    assert scenario_response(text, reasoning=True).parts == (
        PlannedPart(["hm", " hm"], thought=True),
        PlannedPart(["a"]),
    )


def test_calls_have_ids_and_finish_with_tool_calls() -> None:
    text = "- say: [{call: {name: f, arguments: {a: 1}}}, {text: x}, {call: {name: g}}]"

    assert scenario_response(text) == ScenarioResponse(
        (
            PlannedPart(['{"a":', " 1}"], call=ToolCall("call_x0", "f", "")),
            PlannedPart(["x"]),
            PlannedPart(["{}"], call=ToolCall("call_x1", "g", "")),
        ),
        "tool_calls",
    )


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_finish_reason_of_the_turn_is_used(reason: str) -> None:
    assert scenario_response(f"- {{say: [{{call: {{name: f}}}}], finish_reason: {reason}}}").reason == reason


def test_error_step_ends_the_response() -> None:
    assert scenario_response("- say: [{text: a}, {error: overloaded}]") == ScenarioResponse(
        (PlannedPart(["a"]),), "stop", "overloaded"
    )
