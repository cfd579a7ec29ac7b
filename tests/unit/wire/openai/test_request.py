import json
from typing import Any

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest, Grammar, Message, Tool, ToolCall
from tokenfall.wire.dialect import UNBOUNDED
from tokenfall.wire.openai.request import ChatOptions, decode, stops

ASKED = {"role": "user", "content": "Hi"}
LOOK = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
BUY = {"type": "function", "function": {"name": "buy"}}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "sim", "messages": [ASKED], **fields}).encode()


def call(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "look", "arguments": "{}"}}


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


def test_max_completion_tokens_has_precedence() -> None:
    assert request(max_tokens=7, max_completion_tokens=9).max_tokens == 9


def test_tool_choice_of_one_tool_is_decoded_as_its_name() -> None:
    assert request(tools=[LOOK], tool_choice={"type": "function", "function": {"name": "look"}}).tool_choice == "look"
    assert request(tool_choice="none").tool_choice == "none"
    assert request(tools=[LOOK], tool_choice="auto").tool_choice == "auto"


def test_json_object_format_is_accepted() -> None:
    assert request(response_format={"type": "json_object"}).json_object
    assert not request(response_format={"type": "text"}).json_object


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "minimal"}, False),
        ({"reasoning_effort": "high"}, True),
        ({"reasoning_effort": "high", "reasoning_format": "hidden"}, False),
        ({"reasoning_effort": "high", "include_reasoning": False}, False),
        ({"reasoning_format": "parsed"}, True),
        ({"reasoning_format": "raw"}, True),
        ({"include_reasoning": True}, True),
    ],
)
def test_options_request_reasoning(fields: dict[str, Any], expected: bool) -> None:
    assert request(**fields).reasoning is expected


@pytest.mark.parametrize(
    ("fields", "accepted"),
    [
        ({}, True),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "minimal"}, False),
        ({"reasoning_format": "hidden"}, False),
        ({"include_reasoning": False}, False),
        ({"reasoning_effort": "high"}, True),
    ],
)
def test_scripted_reasoning_is_sent_unless_declined(fields: dict[str, Any], accepted: bool) -> None:
    assert request(**fields).reports_reasoning is accepted


@pytest.mark.parametrize(("given", "read"), [(None, ()), ("", ()), ("x", ("x",)), (["", "x"], ("x",))])
def test_empty_stop_text_is_ignored(given: str | list[str] | None, read: tuple[str, ...]) -> None:
    assert stops(given) == read


def test_messages_of_all_roles_are_read() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:x"}}
    parts = [{"type": "text", "text": "a"}, image, {"type": "input_audio"}, {"type": "text", "text": "b"}]

    assert request(
        messages=[
            {"role": "developer", "content": "s"},
            {"role": "system", "content": "t"},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": [call("c1"), call("c2")]},
            {"role": "tool", "tool_call_id": "c2", "content": "2"},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
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
    ],
)
def test_invalid_request_is_refused_with_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(body(**fields))

    assert caught.value.param == param


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "tool", "tool_call_id": "c1", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "assistant", "tool_calls": [call("c1")]}, ASKED], "messages[1].role"),
        ([ASKED, {"role": "assistant", "tool_calls": [call("c1")]}], "messages"),
        (
            [
                {"role": "assistant", "tool_calls": [call("c1"), call("c2")]},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
            ],
            "messages",
        ),
        (
            [
                {"role": "assistant", "tool_calls": [call("c1")]},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
            ],
            "messages[2].tool_call_id",
        ),
    ],
)
def test_calls_and_results_that_do_not_match_are_refused(messages: list[dict[str, Any]], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(body(messages=messages))

    assert caught.value.param == param


def custom(form: dict[str, Any] | None) -> dict[str, Any]:
    """A custom tool with this format."""
    return {"type": "custom", "custom": {"name": "run", "format": form}}


RUN = {"type": "custom", "custom": {"name": "run", "description": "d", "format": {"type": "text"}}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_allowed_tools_may_be_called(mode: str) -> None:
    read = request(tools=[LOOK, BUY], tool_choice=allowed(mode, "buy"))

    assert ([tool.name for tool in read.tools], read.tool_choice) == (["buy"], mode)


def test_grammar_of_a_custom_tool_is_decoded() -> None:
    grammar = {"syntax": "regex", "definition": "[0-9]+"}
    read = request(tools=[custom({"type": "grammar", "grammar": grammar}), custom(None)])

    assert [tool.grammar for tool in read.tools] == [Grammar("[0-9]+", "regex"), None]


def test_custom_tools_are_decoded_and_may_be_chosen() -> None:
    read = request(tools=[LOOK, RUN], tool_choice={"type": "custom", "custom": {"name": "run"}})

    assert read.tools[1] == Tool("run", "d", custom=True)
    assert read.tool_choice == "run"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
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
    ],
)
def test_choice_of_an_unknown_tool_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        request(**fields)

    assert caught.value.param == param


@pytest.mark.parametrize(
    ("call", "param"),
    [({"id": "c"}, "function"), ({"id": "c", "type": "custom"}, "custom"), ({"id": "c", "type": "x"}, "function")],
)
def test_call_without_a_function_is_refused(call: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        request(messages=[{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c"}])

    assert caught.value.param == f"messages[0].tool_calls[0].{param}"


def test_tools_of_other_types_are_ignored() -> None:
    assert request(tools=[LOOK, {"type": "web_search"}]).tools == request(tools=[LOOK]).tools


def test_custom_call_in_the_history_is_read() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "run", "input": "x"}}
    result = {"role": "tool", "tool_call_id": "c", "content": "y"}
    read = request(messages=[{"role": "assistant", "tool_calls": [call]}, result])

    assert read.messages[0].tool_calls == (ToolCall("c", "run", "x", custom=True),)


@pytest.mark.parametrize(
    ("given", "tier"), [(None, None), ("auto", "default"), ("default", "default"), ("flex", "flex")]
)
def test_service_tier_is_reported_if_requested(given: str | None, tier: str | None) -> None:
    body = {"model": "m", "messages": [ASKED], "service_tier": given}

    assert decode(json.dumps(body).encode()).options.service_tier == tier
