import json
from typing import Any

import pytest

from tokenfall.messages import ChatRequest, Tool
from tokenfall.wire.openai.request import decode

from tests.unit.wire.refusals import refusal

LOOK = {"name": "look", "description": "d", "parameters": {"type": "object"}}
BUY = {"name": "buy"}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "sim", "messages": [{"role": "user", "content": "Hi"}], **fields}).encode()


def request(**fields: Any) -> ChatRequest:
    return decode(body(**fields)).request


def test_functions_are_decoded_as_tools_without_parallel_calls() -> None:
    read = request(functions=[LOOK, BUY])

    assert read.tools == (Tool("look", "d", b'{"type": "object"}'), Tool("buy"))
    assert (read.tool_choice, read.parallel_tool_calls) == ("auto", False)
    assert decode(body(functions=[LOOK])).options.legacy_functions


@pytest.mark.parametrize(
    ("choice", "read"), [("auto", "auto"), ("none", "none"), (None, "auto"), ({"name": "buy"}, "buy")]
)
def test_function_call_is_decoded_as_tool_choice(choice: Any, read: str) -> None:
    assert request(functions=[LOOK, BUY], function_call=choice).tool_choice == read


@pytest.mark.parametrize(
    "fields", [{}, {"functions": None}, {"functions": []}, {"function_call": None}, {"function_call": "none"}]
)
def test_request_without_functions_has_no_legacy_response(fields: dict[str, Any]) -> None:
    tool = {"type": "function", "function": LOOK}
    parsed = decode(body(tools=[tool], tool_choice="required", **fields))

    assert not parsed.options.legacy_functions
    assert (parsed.request.tool_choice, parsed.request.parallel_tool_calls) == ("required", True)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"functions": [{}]}, "functions[0].name"),
        ({"functions": [{"name": "a b"}]}, "functions[0].name"),
        ({"functions": [LOOK] * 129}, "functions"),
        ({"functions": [BUY, {"name": "a", "parameters": []}]}, "functions[1].parameters"),
        ({"functions": [LOOK], "tools": [{"type": "function", "function": BUY}]}, "functions"),
        ({"functions": [LOOK], "tool_choice": "auto"}, "tool_choice"),
        ({"function_call": "auto"}, "function_call"),
        ({"function_call": {"name": "look"}}, "function_call"),
        ({"functions": [LOOK], "function_call": "required"}, "function_call"),
        ({"functions": [LOOK], "function_call": {"name": "buy"}}, "function_call"),
        ({"functions": [LOOK], "function_call": {}}, "function_call.name"),
        ({"functions": [LOOK], "reasoning_format": "raw"}, "reasoning_format"),
    ],
)
def test_invalid_functions_are_refused_with_the_field(fields: dict[str, Any], param: str) -> None:
    assert refusal(decode, body(**fields))[0] == param
