import json
from typing import Any

import pytest

from tokenfall.messages import ChatRequest, Grammar, Message, Tool, ToolCall
from tokenfall.wire.dialect import UNBOUNDED
from tokenfall.wire.openai.request import ChatOptions, decode

from tests.unit.wire.refusals import refusal

ASKED = {"role": "user", "content": "Hi"}
LOOK = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
BUY = {"type": "function", "function": {"name": "buy"}}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "sim", "messages": [ASKED], **fields}).encode()


def call(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "look", "arguments": "{}"}}


def calls(*ids: str) -> dict[str, Any]:
    """An assistant message with these calls."""
    return {"role": "assistant", "tool_calls": [call(each) for each in ids]}


def result(call_id: str, content: str = "x") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def custom(form: dict[str, Any] | None) -> dict[str, Any]:
    """A custom tool with this format."""
    return {"type": "custom", "custom": {"name": "run", "format": form}}


CALL = "messages[0].tool_calls[0]"
CUSTOM_CALL = {"id": "c", "type": "custom", "custom": {"name": "run", "input": "x"}}
RUN = {"type": "custom", "custom": {"name": "run", "description": "d", "format": {"type": "text"}}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def request(**fields: Any) -> ChatRequest:
    return decode(body(**fields)).request


def test_model_and_messages_are_sufficient() -> None:
    parsed = decode(body(user="u", store=True))

    assert parsed.request == ChatRequest(
        messages=(Message("user", "Hi"),), model="sim", max_tokens=UNBOUNDED, reports_reasoning=True
    )
    assert (parsed.stream, parsed.options) == (False, ChatOptions())


def test_all_fields_are_decoded() -> None:
    parsed = decode(
        body(
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=7,
            min_tokens=3,
            ignore_eos=True,
            temperature=2,
            top_p=0.5,
            n=2,
            stop=["a", "b"],
            seed=-1,
            tools=[LOOK, BUY, {"type": "custom", "custom": {"name": "x"}}],
            tool_choice="required",
            parallel_tool_calls=False,
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "array"}}},
            logprobs=True,
            top_logprobs=20,
            reasoning_effort="low",
        ),
        groq=True,
    )

    assert parsed.request == ChatRequest(
        messages=(Message("user", "Hi"),),
        model="sim",
        max_tokens=7,
        temperature=2,
        top_p=0.5,
        seed=-1,
        stop=("a", "b"),
        tools=(Tool("look", "d", b'{"type": "object"}'), Tool("buy"), Tool("x", custom=True)),
        tool_choice="required",
        parallel_tool_calls=False,
        schema=b'{"type": "array"}',
        schema_name="s",
        reasoning=True,
        n=2,
        min_tokens=3,
        ignore_eos=True,
        reports_reasoning=True,
    )
    assert (parsed.stream, parsed.options) == (
        True,
        ChatOptions(include_usage=True, logprobs=True, top_logprobs=20, groq=True, service_tier="on_demand"),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 7, "max_completion_tokens": 9}, {"max_tokens": 9}),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}}, {"tool_choice": "look"}),
        ({"tool_choice": "none"}, {"tool_choice": "none"}),
        ({"tools": [LOOK], "tool_choice": "auto"}, {"tool_choice": "auto"}),
        (
            {"tools": [LOOK, BUY], "tool_choice": allowed("auto", "buy")},
            {"tools": (Tool("buy"),), "tool_choice": "auto"},
        ),
        ({"tools": [LOOK], "tool_choice": allowed("required", "look")}, {"tool_choice": "required"}),
        (
            {"tools": [BUY, RUN], "tool_choice": {"type": "custom", "custom": {"name": "run"}}},
            {"tools": (Tool("buy"), Tool("run", "d", custom=True)), "tool_choice": "run"},
        ),
        (
            {
                "tools": [
                    custom({"type": "grammar", "grammar": {"syntax": "regex", "definition": "[0-9]+"}}),
                    custom(None),
                ]
            },
            {"tools": (Tool("run", custom=True, grammar=Grammar("[0-9]+", "regex")), Tool("run", custom=True))},
        ),
        ({"tools": [BUY, {"type": "web_search"}]}, {"tools": (Tool("buy"),)}),
        ({"response_format": {"type": "json_object"}}, {"json_object": True}),
        ({"response_format": {"type": "text"}}, {"json_object": False}),
        ({}, {"reasoning": False, "reports_reasoning": True}),
        ({"reasoning_effort": "none"}, {"reasoning": False, "reports_reasoning": False}),
        ({"reasoning_effort": "minimal"}, {"reasoning": False, "reports_reasoning": False}),
        ({"reasoning_effort": "high"}, {"reasoning": True, "reports_reasoning": True}),
        ({"reasoning_effort": "high", "reasoning_format": "hidden"}, {"reasoning": False, "reports_reasoning": False}),
        ({"reasoning_effort": "high", "include_reasoning": False}, {"reasoning": False, "reports_reasoning": False}),
        ({"reasoning_format": "parsed"}, {"reasoning": True}),
        ({"reasoning_format": "raw"}, {"reasoning": True}),
        ({"include_reasoning": True}, {"reasoning": True}),
        ({"stop": None}, {"stop": ()}),
        ({"stop": ""}, {"stop": ()}),
        ({"stop": "x"}, {"stop": ("x",)}),
        ({"stop": ["", "x"]}, {"stop": ("x",)}),
        (
            {"messages": [{"role": "assistant", "tool_calls": [CUSTOM_CALL]}, result("c", "y")]},
            {
                "messages": (
                    Message("assistant", "", tool_calls=(ToolCall("c", "run", "x", custom=True),)),
                    Message("tool", "y", tool_call_id="c"),
                )
            },
        ),
    ],
)
def test_fields_are_decoded_to_members_of_the_request(fields: dict[str, Any], expected: dict[str, object]) -> None:
    read = request(**fields)

    assert {name: getattr(read, name) for name in expected} == expected


def test_messages_of_all_roles_are_read() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:x"}}
    parts = [{"type": "text", "text": "a"}, image, {"type": "input_audio"}, {"type": "text", "text": "b"}]

    assert request(
        messages=[
            {"role": "developer", "content": "s"},
            {"role": "system", "content": "t"},
            {"role": "user", "content": parts},
            {**calls("c1", "c2"), "content": None},
            result("c2", "2"),
            result("c1", "1"),
            {"role": "assistant"},
            {"role": "function", "name": "old", "content": "f"},
        ]
    ).messages == (
        Message("system", "s"),
        Message("system", "t"),
        Message("user", "ab", images=("data:x",)),
        Message("assistant", "", tool_calls=(ToolCall("c1", "look", "{}"), ToolCall("c2", "look", "{}"))),
        Message("tool", "2", tool_call_id="c2"),
        Message("tool", "1", tool_call_id="c1"),
        Message("assistant", ""),
        Message("user", "f"),
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"presence_penalty": -2.1}, "presence_penalty"),
        ({"frequency_penalty": 2.1}, "frequency_penalty"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [LOOK] * 129}, "tools"),
        (
            {"tools": [BUY, {"type": "function", "function": {"name": "a", "parameters": []}}]},
            "tools[1].function.parameters",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": None}}},
            "response_format.json_schema.schema",
        ),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"reasoning_format": "parsed", "include_reasoning": True}, "include_reasoning"),
        ({"reasoning_format": "raw", "tools": [LOOK]}, "reasoning_format"),
        ({"reasoning_format": "raw", "response_format": {"type": "json_object"}}, "reasoning_format"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "buy"}}}, "tool_choice"),
        ({"tools": [{"type": "custom"}]}, "tools[0].custom"),
        ({"tools": [custom({"type": "xml"})]}, "tools[0].custom.format.type"),
        ({"tools": [custom({"type": "grammar"})]}, "tools[0].custom.format.grammar"),
        (
            {"tools": [custom({"type": "grammar", "grammar": {"syntax": "peg", "definition": "a"}})]},
            "tools[0].custom.format.grammar.syntax",
        ),
        (
            {"tools": [custom({"type": "grammar", "grammar": {"syntax": "lark"}})]},
            "tools[0].custom.format.grammar.definition",
        ),
        ({"tools": [LOOK], "tool_choice": {"type": "custom"}}, "tool_choice.custom"),
        ({"tools": [LOOK], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [LOOK], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ({"tools": [LOOK], "tool_choice": allowed("auto", "sell")}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": {"type": "custom", "custom": {"name": "run"}}}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": {"type": "custom", "custom": {"name": "look"}}}, "tool_choice"),
        ({"tools": [RUN], "tool_choice": {"type": "function", "function": {"name": "run"}}}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": allowed("auto", "look") | {"type": "function"}}, "tool_choice.function"),
        *(
            (
                {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", **kind}]}, result("c")]},
                f"{CALL}.{missing}",
            )
            for kind, missing in (({}, "function"), ({"type": "custom"}, "custom"), ({"type": "x"}, "function"))
        ),
        ({"messages": [result("c1")]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [calls("c1"), ASKED]}, "messages[1].role"),
        ({"messages": [ASKED, calls("c1")]}, "messages"),
        ({"messages": [calls("c1", "c2"), result("c1")]}, "messages"),
        ({"messages": [calls("c1"), result("c1"), result("c1")]}, "messages[2].tool_call_id"),
    ],
)
def test_invalid_request_is_refused_with_the_field(fields: dict[str, Any], param: str) -> None:
    assert refusal(decode, body(**fields))[0] == param


@pytest.mark.parametrize(
    ("given", "tier"), [(None, None), ("auto", "default"), ("default", "default"), ("flex", "flex")]
)
def test_service_tier_is_reported_if_requested(given: str | None, tier: str | None) -> None:
    assert decode(body(service_tier=given)).options.service_tier == tier
