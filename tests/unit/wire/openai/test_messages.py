import json
from typing import Any

import pytest

from tokenfall.messages import Message, ToolCall
from tokenfall.wire.openai.request import decode

from tests.unit.wire.refusals import refusal

CALLED = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}}
RESULT = {"role": "function", "name": "look", "content": "r"}
CALL = ToolCall("function_call_0", "look", "{}")


def messages(*raws: dict[str, Any]) -> tuple[Message, ...]:
    return decode(json.dumps({"model": "sim", "messages": raws}).encode()).request.messages


@pytest.mark.parametrize("result", [RESULT, {"role": "function", "content": "r"}])
def test_function_call_and_its_result_are_a_tool_call_and_its_result(result: dict[str, Any]) -> None:
    assert messages(CALLED, result) == (
        Message("assistant", "", tool_calls=(CALL,)),
        Message("tool", "r", tool_call_id=CALL.id),
    )


def test_each_function_call_has_its_own_id() -> None:
    read = messages(CALLED, RESULT, {**CALLED, "content": "So"}, RESULT)

    assert [call.id for message in read for call in message.tool_calls] == ["function_call_0", "function_call_2"]
    assert [message.tool_call_id for message in read] == ["", "function_call_0", "", "function_call_2"]
    assert read[2].content == "So"


@pytest.mark.parametrize(
    "before",
    [
        (),
        (CALLED, RESULT),
        (CALLED, {"role": "user", "content": "x"}),
        ({**CALLED, "function_call": {"name": "buy"}},),
        ({"role": "user", "content": "x", "function_call": {"name": "look"}},),
        ({"role": "assistant", "content": "x", "function_call": None},),
    ],
)
def test_function_result_without_its_call_is_a_user_message(before: tuple[dict[str, Any], ...]) -> None:
    assert messages(*before, RESULT)[-1] == Message("user", "r")


def test_tool_calls_and_a_function_call_of_one_message_are_kept() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "buy", "arguments": "{}"}}
    read = messages({**CALLED, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "t"}, RESULT)

    assert read[0].tool_calls == (ToolCall("c", "buy", "{}"), CALL)
    assert [message.tool_call_id for message in read[1:]] == ["c", CALL.id]


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        ({"role": "function", "name": "look"}, "messages[0].content"),
        ({"role": "assistant", "function_call": {"arguments": "{}"}}, "messages[0].function_call.name"),
        ({"role": "assistant", "function_call": "look"}, "messages[0].function_call"),
    ],
)
def test_invalid_function_message_is_refused_with_the_field(raw: dict[str, Any], param: str) -> None:
    assert refusal(messages, raw)[0] == param
