import pytest

from tokenfall.messages import ToolCall
from tokenfall.simulator.planning import Part
from tokenfall.simulator.scenarios.files import read_script
from tokenfall.simulator.scenarios.speaking import Spoken, spoken


def said(text: str, *, reasoning: bool = False) -> Spoken:
    return spoken(read_script(text.encode(), name="s.yaml").turns[0], call_ids="call_x", reasoning=reasoning)


def test_text_is_said_in_tokens() -> None:
    assert said("- say: a b") == Spoken((Part(["a", " b"]),), "stop")


def test_thoughts_are_for_who_asks() -> None:
    text = "- say: [{think: hm hm}, {text: a}]"

    assert said(text).parts == (Part(["a"]),)
    assert said(text, reasoning=True).parts == (Part(["hm", " hm"], thought=True), Part(["a"]))


def test_calls_have_ids_and_the_reason_of_calls() -> None:
    text = "- say: [{call: {name: f, arguments: {a: 1}}}, {text: x}, {call: {name: g}}]"

    assert said(text) == Spoken(
        (
            Part(['{"a":', " 1}"], call=ToolCall("call_x0", "f", "")),
            Part(["x"]),
            Part(["{}"], call=ToolCall("call_x1", "g", "")),
        ),
        "tool_calls",
    )


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_the_reason_may_be_written(reason: str) -> None:
    assert said(f"- {{say: [{{call: {{name: f}}}}], finish_reason: {reason}}}").reason == reason


def test_an_error_ends_the_answer() -> None:
    assert said("- say: [{text: a}, {error: overloaded}]") == Spoken((Part(["a"]),), "stop", "overloaded")
