import json
from typing import Any

import msgspec
import pytest

from tokenfall.messages import ChatRequest, Grammar, Message, Tool
from tokenfall.wire.dialect import UNBOUNDED, ParsedRequest
from tokenfall.wire.openai.responses.body import Reasoning
from tokenfall.wire.openai.responses.response import OPENAI_RESPONSES

from tests.unit.wire.refusals import refusal
from tests.unit.wire.streams import parsed_request

LOOK = {"type": "function", "name": "look", "description": "d", "parameters": {"type": "object"}, "strict": True}
BUY = {"type": "function", "name": "buy", "parameters": None}
SEARCH = {"type": "web_search", "search_context_size": "low"}
RUN = {"type": "custom", "name": "run", "description": "d", "format": {"type": "text"}}
GRAMMAR = {"type": "grammar", "syntax": "regex", "definition": "[0-9]+"}
DIGITS = Grammar("[0-9]+", "regex")
NO_INPUT = """One of "input" or "previous_response_id" or 'prompt' or 'conversation_id' must be provided."""


def custom(form: object) -> dict[str, object]:
    """A custom tool with this format."""
    return {"type": "custom", "name": "run", "format": form}


def allowed(*tools: dict[str, str], mode: str = "auto") -> dict[str, object]:
    return {"type": "allowed_tools", "mode": mode, "tools": tools}


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


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"input": [{"role": "user", "content": "Hi"}]}, {"messages": (Message("user", "Hi"),)}),
        ({"input": ""}, {"messages": (Message("user", ""),)}),
        *(
            ({"tools": [LOOK, SEARCH, RUN], "tool_choice": given}, {"tool_choice": choice})
            for given, choice in (
                (None, "auto"),
                ("auto", "auto"),
                ("none", "none"),
                ("required", "required"),
                ({"type": "function", "name": "look"}, "look"),
                ({"type": "custom", "name": "run"}, "run"),
                (allowed({"type": "function", "name": "look"}, mode="required"), "required"),
                ({"type": "web_search"}, "auto"),
            )
        ),
        (
            {"tools": [BUY, RUN], "tool_choice": allowed({"type": "custom", "name": "run"}, {"type": "web_search"})},
            {"tools": (Tool("run", "d", custom=True),), "tool_choice": "auto"},
        ),
        (
            {"tools": [BUY, custom(GRAMMAR), custom(None)]},
            {"tools": (Tool("buy"), Tool("run", custom=True, grammar=DIGITS), Tool("run", custom=True))},
        ),
        *(
            ({"text": {"format": form}}, {"json_object": is_json, "schema": None, "schema_name": ""})
            for form, is_json in ((None, False), ({"type": "text"}, False), ({"type": "json_object"}, True))
        ),
        ({"reasoning": None}, {"reasoning": False}),
        ({"reasoning": {}}, {"reasoning": False}),
        ({"reasoning": {"effort": "none"}}, {"reasoning": False}),
        ({"reasoning": {"effort": "minimal"}}, {"reasoning": False}),
        ({"reasoning": {"effort": "high"}}, {"reasoning": True}),
        ({"reasoning": {"summary": "concise"}}, {"reasoning": True}),
    ],
)
def test_fields_are_decoded_to_members_of_the_request(fields: dict[str, Any], expected: dict[str, object]) -> None:
    read = respond(**fields).request

    assert {name: getattr(read, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"background": True}, "background", "background is not available: responses are not stored"),
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id",
            "Previous response with id 'resp_1' not found.",
        ),
        ({"user": "u" * 513}, "user", None),
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
        ({"input": None}, "input", NO_INPUT),
        ({"input": []}, "input", NO_INPUT),
        *(
            ({"tools": [LOOK, RUN], "tool_choice": choice}, param, None)
            for choice, param in (
                ({"type": "allowed_tools", "mode": "auto"}, "tool_choice.tools"),
                (allowed({"type": "function", "name": "sell"}), "tool_choice"),
                (allowed({"type": "function"}), "tool_choice"),
                ({"type": "custom", "name": "look"}, "tool_choice"),
            )
        ),
        ({"tools": [custom({"type": "xml"})]}, "tools[0].format.type", None),
        ({"tools": [custom({**GRAMMAR, "syntax": "peg"})]}, "tools[0].format.syntax", None),
        ({"tools": [custom({"type": "grammar", "syntax": "lark"})]}, "tools[0].format.definition", None),
        ({"tools": [custom(7)]}, "tools[0].format", None),
    ],
)
def test_invalid_request_is_refused_with_the_field(fields: dict[str, Any], param: str, message: str | None) -> None:
    found, text = refusal(respond, **fields)

    assert (found, message or text) == (param, text)


def test_include_requests_encrypted_reasoning() -> None:
    assert respond(include=["reasoning.encrypted_content"]).options.encrypted
    assert not respond(include=["x"]).options.encrypted
