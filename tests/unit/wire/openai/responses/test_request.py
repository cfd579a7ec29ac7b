import json
from typing import Any

import msgspec
import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest, Grammar, Message, Tool
from tokenfall.wire.dialect import UNBOUNDED, ParsedRequest
from tokenfall.wire.openai.responses.body import Reasoning
from tokenfall.wire.openai.responses.response import OPENAI_RESPONSES

from tests.unit.wire.openai.streams import parsed_request

LOOK = {"type": "function", "name": "look", "description": "d", "parameters": {"type": "object"}, "strict": True}
BUY = {"type": "function", "name": "buy", "parameters": None}
SEARCH = {"type": "web_search", "search_context_size": "low"}


def as_sent(value: Any) -> msgspec.Raw:
    """The original JSON of a request member that a response repeats."""
    return msgspec.Raw(json.dumps(value))


def respond(**fields: Any) -> ParsedRequest:
    return parsed_request(OPENAI_RESPONSES, **{"input": "Hi", **fields})


def test_model_and_input_are_sufficient() -> None:
    read = respond(seed=1, include=["message.output_text.logprobs"])

    assert read.request == ChatRequest(messages=(Message("user", "Hi"),), model="sim", max_tokens=UNBOUNDED)
    assert not read.stream
    assert read.options.repeated == {
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "reasoning": Reasoning(),
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "service_tier": "default",
        "user": None,
        "safety_identifier": None,
        "prompt_cache_key": None,
    }
    assert read.options.logprobs


@pytest.mark.parametrize(
    ("given", "reported"), [(None, "default"), ("auto", "default"), ("default", "default"), ("priority", "priority")]
)
def test_reported_tier_is_the_requested_one(given: str | None, reported: str) -> None:
    assert respond(service_tier=given).options.repeated["service_tier"] == reported


def test_all_fields_are_decoded() -> None:
    form = {"type": "json_schema", "name": "s", "schema": {"type": "array"}, "strict": True}
    choice = {"type": "function", "name": "buy"}
    read = respond(
        instructions="Be brief.",
        stream=True,
        max_output_tokens=16,
        max_tool_calls=2,
        temperature=0,
        top_p=0,
        top_logprobs=20,
        tools=[LOOK, SEARCH, BUY],
        tool_choice=choice,
        parallel_tool_calls=False,
        text={"format": form, "verbosity": None},
        reasoning={"effort": "low", "summary": "auto"},
        store=False,
        background=False,
        metadata={"a": "b"},
        truncation="auto",
        service_tier="flex",
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
    )

    assert read.request == ChatRequest(
        messages=(Message("system", "Be brief."), Message("user", "Hi")),
        model="sim",
        max_tokens=16,
        temperature=0,
        top_p=0,
        tools=(Tool("look", "d", b'{"type": "object"}'), Tool("buy")),
        tool_choice="buy",
        parallel_tool_calls=False,
        schema=b'{"type": "array"}',
        schema_name="s",
        reasoning=True,
    )
    assert read.stream
    assert read.options.repeated == {
        "instructions": "Be brief.",
        "max_output_tokens": 16,
        "max_tool_calls": 2,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "reasoning": Reasoning("low", "auto"),
        "store": False,
        "temperature": 0.0,
        "text": {"format": as_sent(form), "verbosity": "medium"},
        "tool_choice": as_sent(choice),
        "tools": [as_sent(LOOK), as_sent(SEARCH), as_sent(BUY)],
        "top_logprobs": 20,
        "top_p": 0.0,
        "truncation": "auto",
        "service_tier": "flex",
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
    }


def test_input_may_be_items() -> None:
    assert respond(input=[{"role": "user", "content": "Hi"}]).request.messages == (Message("user", "Hi"),)


def test_empty_text_is_an_input() -> None:
    assert respond(input="").request.messages == (Message("user", ""),)


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "look"}, "look"),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]}, "required"),
        ({"type": "web_search"}, "auto"),
    ],
)
def test_tool_choice_is_decoded(given: object, choice: str) -> None:
    assert respond(tools=[LOOK, SEARCH], tool_choice=given).request.tool_choice == choice


@pytest.mark.parametrize(
    ("form", "json_object"), [(None, False), ({"type": "text"}, False), ({"type": "json_object"}, True)]
)
def test_json_object_format_is_accepted(form: object, json_object: bool) -> None:
    request = respond(text={"format": form}).request

    assert (request.json_object, request.schema, request.schema_name) == (json_object, None, "")


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (None, False),
        ({}, False),
        ({"effort": "none"}, False),
        ({"effort": "minimal"}, False),
        ({"effort": "high"}, True),
        ({"summary": "concise"}, True),
    ],
)
def test_options_request_reasoning(reasoning: object, expected: bool) -> None:
    assert respond(reasoning=reasoning).request.reasoning is expected


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"background": True}, "background", "background is not available: responses are not stored"),
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id",
            "Previous response with id 'resp_1' not found.",
        ),
        ({"conversation": "conv_1"}, "conversation", "Conversation with id 'conv_1' not found."),
        ({"conversation": {"id": "conv_1"}}, "conversation", "Conversation with id 'conv_1' not found."),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "Prompt with id 'pmpt_1' not found."),
        (
            {"max_output_tokens": 15},
            "max_output_tokens",
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15 instead.",
        ),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", None),
        ({"text": {"format": {"type": "json_schema", "name": "s"}}}, "text.format.schema", None),
        (
            {"tools": [SEARCH, {"type": "function", "function": {"name": "look"}}]},
            "tools[1].name",
            "Missing required parameter: 'tools[1].name'.",
        ),
        (
            {"tool_choice": "required"},
            "tool_choice",
            "Tool choice 'required' must be specified with 'tools' parameter.",
        ),
        ({"tool_choice": {"type": "function"}, "tools": [LOOK]}, "tool_choice.name", None),
        (
            {"tool_choice": {"type": "function", "name": "buy"}, "tools": [LOOK]},
            "tool_choice",
            "Tool choice 'buy' not found in 'tools' parameter.",
        ),
        ({"input": [{"role": "user"}]}, "input[0].content", None),
        ({"model": ""}, "model", None),
        ({"input": 7}, "input", None),
        ({"max_output_tokens": 10_000_001}, "max_output_tokens", None),
        ({"temperature": 2.5}, "temperature", None),
        ({"top_p": -1}, "top_p", None),
        ({"top_logprobs": 21}, "top_logprobs", None),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name", None),
        ({"tools": [{"name": "a"}]}, "tools[0].type", None),
        (
            {"tools": [{"type": "function", "name": "a", "parameters": 1.5}]},
            "tools[0].parameters",
            "tools[0].parameters: Expected `object | null`, got `float`",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "s", "schema": "x"}}}, "text.format.schema", None),
        ({"tool_choice": "always"}, "tool_choice", None),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", None),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary", None),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata", None),
        ({"metadata": {"a": 1}}, "metadata[...]", None),
        ({"truncation": "sometimes"}, "truncation", None),
    ],
)
def test_invalid_request_is_refused_with_the_field(fields: dict[str, Any], param: str, message: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        respond(**fields)

    assert caught.value.param == param
    assert message in (None, caught.value.message)


@pytest.mark.parametrize("given", [None, []])
def test_request_without_input_is_refused(given: object) -> None:
    with pytest.raises(InvalidRequest, match='One of "input" or') as caught:
        respond(input=given)

    assert caught.value.param == "input"


FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}}
RUN = {"type": "custom", "name": "run", "description": "d", "format": {"type": "text"}}


def test_custom_tools_are_decoded_and_may_be_chosen() -> None:
    read = respond(tools=[FUNCTION, RUN], tool_choice={"type": "custom", "name": "run"}).request

    assert read.tools[1] == Tool("run", "d", custom=True)
    assert read.tool_choice == "run"


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_allowed_tools_may_be_called(mode: str) -> None:
    tools = [{"type": "custom", "name": "run"}, {"type": "web_search"}]
    read = respond(tools=[FUNCTION, RUN], tool_choice={"type": "allowed_tools", "mode": mode, "tools": tools}).request

    assert ([tool.name for tool in read.tools], read.tool_choice) == (["run"], mode)


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ({"type": "allowed_tools", "mode": "auto"}, "tool_choice.tools"),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "sell"}]}, "tool_choice"),
        ({"type": "allowed_tools", "tools": [{"type": "function"}]}, "tool_choice"),
        ({"type": "custom", "name": "look"}, "tool_choice"),
    ],
)
def test_choice_of_an_unknown_tool_is_refused(choice: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        respond(tools=[FUNCTION, RUN], tool_choice=choice)

    assert caught.value.param == param


def test_include_requests_encrypted_reasoning() -> None:
    assert respond(include=["reasoning.encrypted_content"]).options.encrypted
    assert not respond(include=["x"]).options.encrypted


def custom_tool(form: object) -> dict[str, object]:
    return {"type": "custom", "name": "run", "format": form}


def test_grammar_of_a_custom_tool_is_decoded() -> None:
    grammar = {"type": "grammar", "syntax": "regex", "definition": "[0-9]+"}
    tools = [custom_tool(grammar), custom_tool({"type": "text"}), custom_tool(None)]
    read = OPENAI_RESPONSES.decode(json.dumps({"model": "m", "input": "hi", "tools": tools}).encode())

    assert [tool.grammar for tool in read.request.tools] == [Grammar("[0-9]+", "regex"), None, None]


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"type": "xml"}, "tools[0].format.type"),
        ({"type": "grammar", "syntax": "peg", "definition": "a"}, "tools[0].format.syntax"),
        ({"type": "grammar", "syntax": "lark"}, "tools[0].format.definition"),
        (7, "tools[0].format"),
    ],
)
def test_invalid_format_of_a_custom_tool_is_refused(form: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        OPENAI_RESPONSES.decode(json.dumps({"model": "m", "input": "hi", "tools": [custom_tool(form)]}).encode())

    assert caught.value.param == param
