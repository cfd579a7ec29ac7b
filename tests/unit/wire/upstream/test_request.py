import json
from typing import Any

import pytest

from tokenfall.messages import ChatRequest, Message, Tool, ToolCall
from tokenfall.wire.dialect import UNBOUNDED
from tokenfall.wire.upstream.request import encode_request

# The request, byte for byte


def test_a_request_streams_and_asks_for_usage() -> None:
    messages = (Message("system", "Be brief."), Message("user", "Hi\n"))

    assert encode_request(ChatRequest(messages=messages, model="m", max_tokens=9)) == (
        b'{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi\\n"}],'
        b'"stream":true,"stream_options":{"include_usage":true},"max_tokens":9}'
    )


def test_a_request_names_a_temperature_that_was_asked_for() -> None:
    request = ChatRequest(messages=(Message("user", "Hi"),), model="m", max_tokens=9, temperature=0.0)

    assert encode_request(request).endswith(b'"max_tokens":9,"temperature":0.0}')


# The request in all its parts


def sent(**fields: Any) -> dict[str, Any]:
    """What a request says besides what all of them do."""
    request = ChatRequest(**{"messages": (Message("user", "Hi"),), "model": "m", "max_tokens": UNBOUNDED, **fields})
    body: dict[str, Any] = json.loads(encode_request(request))
    common = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    if "messages" not in fields:
        common["messages"] = [{"role": "user", "content": "Hi"}]
    assert all(body.pop(name) == value for name, value in common.items())
    return body


WEATHER = {"name": "weather", "description": "It rains", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, {}),
        ({"max_tokens": UNBOUNDED - 1}, {"max_tokens": UNBOUNDED - 1}),
        (
            {"top_p": 0.0, "seed": 0, "stop": ("a", "b"), "reasoning": True},
            {"top_p": 0.0, "seed": 0, "stop": ["a", "b"], "reasoning_effort": "medium"},
        ),
        ({"json_object": True}, {"response_format": {"type": "json_object"}}),
        (
            {"schema": b"{}", "json_object": True},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {}, "strict": True},
                }
            },
        ),
        (
            {"schema": b'{"a": 1}', "schema_name": "n"},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True},
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
                    {"type": "function", "function": {"name": "t", "description": "", "parameters": {"type": "object"}}}
                ],
                "tool_choice": {"type": "function", "function": {"name": "t"}},
                "parallel_tool_calls": False,
            },
        ),
        ({"parallel_tool_calls": False, "tool_choice": "none"}, {}),
    ],
)
def test_what_is_asked_for_is_said_in_openais_words(fields: dict[str, Any], told: dict[str, Any]) -> None:
    assert sent(**fields) == told


@pytest.mark.parametrize("choice", ["none", "required"])
def test_how_tools_are_chosen(choice: str) -> None:
    assert sent(tools=(Tool("t"),), tool_choice=choice)["tool_choice"] == choice


CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:x"}}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            Message("assistant", "", tool_calls=(ToolCall("c", "f", "{}"),)),
            {"role": "assistant", "content": None, "tool_calls": [CALLED]},
        ),
        (
            Message("assistant", "So", tool_calls=(ToolCall("c", "f", "{}"),)),
            {"role": "assistant", "content": "So", "tool_calls": [CALLED]},
        ),
        (Message("tool", "rain", tool_call_id="c"), {"role": "tool", "content": "rain", "tool_call_id": "c"}),
        (
            Message("user", "What?", images=("data:x",)),
            {"role": "user", "content": [{"type": "text", "text": "What?"}, IMAGE]},
        ),
        (Message("user", "", images=("data:x", "data:x")), {"role": "user", "content": [IMAGE, IMAGE]}),
    ],
)
def test_messages_keep_their_calls_results_and_images(message: Message, told: dict[str, Any]) -> None:
    assert sent(messages=(message,)) == {"messages": [told]}
