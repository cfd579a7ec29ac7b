import json
from typing import Any

import pytest

from tokenfall.messages import ChatRequest, Message, Tool
from tokenfall.wire.dialect import UNBOUNDED
from tokenfall.wire.tool_names import upstream_name
from tokenfall.wire.upstream.request import encode_request

# The request, byte for byte


def test_upstream_request_streams_and_requests_usage() -> None:
    messages = (Message("system", "Be brief."), Message("user", "Hi\n"))

    assert encode_request(ChatRequest(messages=messages, model="m", max_tokens=9)) == (
        b'{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi\\n"}],'
        b'"stream":true,"stream_options":{"include_usage":true},"max_tokens":9}'
    )


def test_temperature_is_sent_if_given() -> None:
    request = ChatRequest(messages=(Message("user", "Hi"),), model="m", max_tokens=9, temperature=0.0)

    assert encode_request(request).endswith(b'"max_tokens":9,"temperature":0.0}')


# Optional members


def sent(**fields: Any) -> dict[str, Any]:
    """The members that differ from a minimal request."""
    request = ChatRequest(**{"messages": (Message("user", "Hi"),), "model": "m", "max_tokens": UNBOUNDED, **fields})
    body: dict[str, Any] = json.loads(encode_request(request))
    common = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    if "messages" not in fields:
        common["messages"] = [{"role": "user", "content": "Hi"}]
    assert all(body.pop(name) == value for name, value in common.items())
    return body


STRICT = '{"type":"object","properties":{},"required":[],"additionalProperties":false}'
WEATHER = {"name": "weather", "description": "It rains", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"logprobs": 0}, {"logprobs": True}),
        ({"logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"logprobs": 3, "rewrites": frozenset({"logprobs"})}, {}),
        ({"max_tokens": UNBOUNDED - 1}, {"max_tokens": UNBOUNDED - 1}),
        (
            {"top_p": 0.0, "seed": 0, "stop": ("a", "b"), "reasoning": True},
            {"top_p": 0.0, "seed": 0, "stop": ["a", "b"], "reasoning_effort": "medium"},
        ),
        ({"reasoning": True, "effort": "low"}, {"reasoning_effort": "low"}),
        ({"reasoning": True, "rewrites": frozenset({"reasoning_effort"})}, {}),
        ({"presence_penalty": 0.0, "frequency_penalty": 1.5}, {"presence_penalty": 0.0, "frequency_penalty": 1.5}),
        ({"stop": ("a", "b", "c", "d", "e")}, {"stop": ["a", "b", "c", "d"]}),
        ({"json_object": True}, {"response_format": {"type": "json_object"}}),
        (
            {"schema": STRICT.encode()},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": json.loads(STRICT), "strict": True},
                }
            },
        ),
        (
            {"schema": STRICT.encode(), "rewrites": frozenset({"schema for response_format"})},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": json.loads(STRICT)},
                }
            },
        ),
        (
            {"schema": b"{}", "json_object": True},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {}},
                }
            },
        ),
        (
            {"schema": b'{"a": 1}', "schema_name": "n"},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"a": 1}},
                }
            },
        ),
        (
            {"tools": (Tool("weather", "It rains", json.dumps(WEATHER["parameters"]).encode()),)},
            {"tools": [{"type": "function", "function": WEATHER}], "tool_choice": "auto"},
        ),
        (
            {"tools": (Tool("t"),), "tool_choice": "t", "parallel_tool_calls": False},
            {
                "tools": [
                    {"type": "function", "function": {"name": "t", "parameters": {"type": "object", "properties": {}}}}
                ],
                "tool_choice": {"type": "function", "function": {"name": "t"}},
                "parallel_tool_calls": False,
            },
        ),
        ({"parallel_tool_calls": False, "tool_choice": "none"}, {}),
    ],
)
def test_all_options_are_encoded_as_openai_members(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(**fields) == expected


@pytest.mark.parametrize(
    ("schema", "strict", "sent_strict"),
    [(STRICT, True, True), (STRICT, False, None), ('{"type":"object"}', True, None)],
)
def test_strict_tool_is_strict_if_its_schema_fits(schema: str, strict: bool, sent_strict: bool | None) -> None:
    (tool,) = sent(tools=(Tool("t", parameters=schema.encode(), strict=strict),))["tools"]

    assert tool["function"].get("strict") is sent_strict


@pytest.mark.parametrize("choice", ["none", "required"])
def test_tool_choice_is_encoded(choice: str) -> None:
    assert sent(tools=(Tool("t"),), tool_choice=choice)["tool_choice"] == choice


@pytest.mark.parametrize(
    ("model", "rewrites", "member"),
    [
        ("gpt-4o", [], "max_tokens"),
        ("gpt-5-mini", [], "max_completion_tokens"),
        ("openai/o3-mini", [], "max_completion_tokens"),
        ("my-deployment", ["max_tokens"], "max_completion_tokens"),
        ("o3-local", ["max_completion_tokens"], "max_tokens"),
    ],
)
def test_token_limit_has_the_name_that_the_model_accepts(model: str, rewrites: list[str], member: str) -> None:
    body = json.loads(encode_request(ChatRequest(messages=(), model=model, max_tokens=9, rewrites=frozenset(rewrites))))

    assert {name: body.get(name) for name in ("max_tokens", "max_completion_tokens") if name in body} == {member: 9}


def test_stream_options_are_omitted_if_refused() -> None:
    request = ChatRequest(messages=(), model="m", max_tokens=9, rewrites=frozenset({"stream_options"}))

    assert b"stream_options" not in encode_request(request)


def test_tool_names_are_shortened_for_the_upstream() -> None:
    name = "x" * 100
    expected = sent(tools=(Tool(name),), tool_choice=name)

    assert expected["tools"][0]["function"]["name"] == upstream_name(name)
    assert expected["tool_choice"]["function"]["name"] == upstream_name(name)
