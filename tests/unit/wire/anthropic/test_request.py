import json
from typing import Any

import pytest

from tokenfall.errors import InvalidRequest, NotFound
from tokenfall.messages import ChatRequest, Message, Tool
from tokenfall.wire.anthropic import request as anthropic_request
from tokenfall.wire.anthropic.request import MessagesOptions, decode, decode_count, for_upstream
from tokenfall.wire.dialect import UNBOUNDED

from tests.unit.wire.refusals import refusal

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
NOT_AN_OBJECT = "Input should be a valid dictionary"
SCHEMA_TEXT = json.dumps(SCHEMA).encode()
WEATHER = {"name": "weather", "description": "Tells it.", "input_schema": SCHEMA}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
TAG = "Input tag 'function' found using 'type' does not match any of the expected tags"
PATTERN = "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"
LEAST: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


def body(**fields: object) -> bytes:
    return json.dumps({**LEAST, **fields}).encode()


def request(**fields: object) -> ChatRequest:
    return decode(body(**fields)).request


def test_minimal_request_has_the_defaults() -> None:
    parsed = decode(body())

    assert parsed.request == ChatRequest(messages=(Message("user", "Hi"),), model="m", max_tokens=9)
    assert (parsed.stream, parsed.options) == (False, MessagesOptions())


def test_every_field_is_decoded() -> None:
    parsed = decode(
        body(
            system="Be brief.",
            max_tokens=2048,
            stream=True,
            stop_sequences=["END", "\n\nHuman:"],
            temperature=1,
            top_p=0.5,
            top_k=5,
            tools=[WEATHER, SEARCH, {**WEATHER, "name": "time", "type": "custom", "description": None, "strict": True}],
            tool_choice={"type": "auto", "disable_parallel_tool_use": True},
            thinking={**ENABLED, "display": "omitted"},
            metadata={"user_id": "u"},
            output_config={"effort": "low", "format": FORMAT},
            service_tier="auto",
        )
    )

    assert parsed.request == ChatRequest(
        messages=(Message("system", "Be brief."), Message("user", "Hi")),
        model="m",
        max_tokens=2048,
        temperature=1.0,
        top_p=0.5,
        stop=("END", "\n\nHuman:"),
        tools=(Tool("weather", "Tells it.", SCHEMA_TEXT), Tool("time", "", SCHEMA_TEXT, strict=True)),
        parallel_tool_calls=False,
        schema=SCHEMA_TEXT,
        reasoning=True,
        effort="low",
    )
    assert (parsed.stream, parsed.options) == (True, MessagesOptions(omit_thinking=True))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"effort": "", "disables_reasoning": False, "reasoning": False}),
        ({"thinking": {"type": "disabled"}}, {"disables_reasoning": True, "reasoning": False}),
        ({"thinking": {"type": "adaptive"}}, {"effort": "", "disables_reasoning": False, "reasoning": True}),
        ({"thinking": {"type": "between_tools"}}, {"reasoning": True}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 4097}}, {"effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 32_000}}, {"effort": "high"}),
        ({"thinking": {**ENABLED, "budget_tokens": 32_000}, "output_config": {"effort": "low"}}, {"effort": "low"}),
        ({"output_config": {"effort": "medium"}}, {"effort": "medium"}),
        ({"output_config": {"effort": "max"}}, {"effort": "high"}),
        ({"output_config": {}}, {"effort": ""}),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, {"effort": ""}),
        ({"thinking": ENABLED, "tools": [WEATHER], "tool_choice": {"type": "none"}}, {"reasoning": True}),
        ({"thinking": ENABLED, "max_tokens": 1024, "tools": [WEATHER]}, {"reasoning": True}),
        ({"tools": [WEATHER]}, {"tool_choice": "auto"}),
        ({"tools": [WEATHER], "tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
        ({"tools": [WEATHER], "tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        ({"tools": [], "tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        ({"tools": [WEATHER], "tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"tools": [SEARCH], "tool_choice": {"type": "any"}}, {"tool_choice": "auto"}),
        ({"tools": [WEATHER, SEARCH], "tool_choice": {"type": "tool", "name": "weather"}}, {"tool_choice": "weather"}),
        ({"tools": [WEATHER, SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}}, {"tool_choice": "auto"}),
        ({"output_format": FORMAT}, {"schema": SCHEMA_TEXT}),
        ({"output_format": FORMAT, "output_config": {"effort": "high"}}, {"schema": SCHEMA_TEXT}),
    ],
)
def test_fields_are_decoded_to_members_of_the_request(fields: dict[str, Any], expected: dict[str, object]) -> None:
    read = request(**{"max_tokens": 40_000, **fields})

    assert {name: getattr(read, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("field", "good", "bad", "message"),
    [
        ("max_tokens", 0, -1, "Input should be greater than or equal to 0"),
        ("max_tokens", 1, None, "Input should be a valid integer"),
        ("max_tokens", 10_000_000, 10_000_001, "Input should be less than or equal to 10000000"),
        ("model", "m" * 200, "m" * 201, "String should have at most 200 characters"),
        ("model", "m", "", "String should have at least 1 characters"),
        ("model", "m", 7, "Input should be a valid string"),
        ("temperature", 0, -0.1, "Input should be greater than or equal to 0"),
        ("temperature", 1, 1.1, "Input should be less than or equal to 1"),
        ("top_p", 0, -0.1, "Input should be greater than or equal to 0"),
        ("top_p", 1, 1.1, "Input should be less than or equal to 1"),
        ("top_k", 0, -1, "Input should be greater than or equal to 0"),
        ("stream", None, "yes", "Input should be a valid boolean"),
        ("stop_sequences", ["a"], "a", "Input should be a valid list"),
        ("stop_sequences", [], ["a", " \n"], "each stop sequence must contain non-whitespace"),
        ("stop_sequences", None, [""], "each stop sequence must contain non-whitespace"),
        ("messages", LEAST["messages"], [], "at least one message is required"),
        ("messages", LEAST["messages"], "Hi", "Input should be a valid list"),
        ("system", None, 7, "Input should be a valid string or list"),
        ("tools", [SEARCH, WEATHER], [WEATHER, WEATHER], "Tool names must be unique."),
        ("thinking", None, "enabled", "Input should be a valid dictionary"),
    ],
)
def test_field_out_of_bounds_is_refused(field: str, good: object, bad: object, message: str) -> None:
    decode(body(**{field: good}))

    assert refusal(decode, body(**{field: bad})) == (field, f"{field}: {message}")


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens", "Field required"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1023}, "max_tokens": 2048},
            "thinking.enabled.budget_tokens",
            "Input should be greater than or equal to 1024",
        ),
        ({"thinking": {}}, "thinking.type", "Field required"),
        ({"thinking": {"type": "x"}}, "thinking.type", "Invalid enum value 'x'"),
        ({"tools": [{"type": "function"}]}, "tools.0", TAG),
        ({"tools": [{"input_schema": SCHEMA}]}, "tools.0.custom.name", "Field required"),
        ({"tools": [{**WEATHER, "name": "a b"}]}, "tools.0.custom.name", PATTERN),
        ({"tools": [{**WEATHER, "name": "a\n"}]}, "tools.0.custom.name", PATTERN),
        ({"tools": [SEARCH, {"name": "a"}]}, "tools.1.custom.input_schema", "Field required"),
        ({"tools": [{**WEATHER, "input_schema": {}}]}, "tools.0.custom.input_schema.type", "Field required"),
        ({"tools": [{**WEATHER, "input_schema": 7}]}, "tools.0.custom.input_schema", NOT_AN_OBJECT),
        ({"tools": [{**WEATHER, "name": 7}]}, "tools.0.custom.name", "Input should be a valid string"),
        ({"tools": [{**WEATHER, "description": 7}]}, "tools.0.custom.description", "Input should be a valid string"),
        (
            {"tools": [{**WEATHER, "input_schema": {"type": "array"}}]},
            "tools.0.custom.input_schema.type",
            "Input should be 'object'",
        ),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "tool_choice.tool.name", "Field required"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "required"}},
            "tool_choice.type",
            "Invalid enum value 'required'",
        ),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema", "Field required"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": None}}},
            "output_config.format.schema",
            NOT_AN_OBJECT,
        ),
        ({"output_format": {"type": "json_schema", "schema": []}}, "output_format.schema", NOT_AN_OBJECT),
    ],
)
def test_nested_field_out_of_bounds_is_refused(fields: dict[str, object], param: str, message: str) -> None:
    assert refusal(decode, body(**fields)) == (param, f"{param}: {message}")


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        (
            {"thinking": ENABLED, "max_tokens": 1024},
            "max_tokens",
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
        (
            {"thinking": ENABLED, "max_tokens": 1025, "temperature": 0.5},
            "temperature",
            "`temperature` may only be set to 1 when thinking is enabled.",
        ),
        (
            {"thinking": ENABLED, "max_tokens": 1025, "tools": [WEATHER], "tool_choice": {"type": "any"}},
            "tool_choice",
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        ({"tool_choice": {"type": "any"}}, "tool_choice", "tool_choice may only be specified while providing tools."),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}},
            "tool_choice",
            "Tool 'x' not found in provided tools",
        ),
    ],
)
def test_contradicting_fields_are_refused(fields: dict[str, object], param: str, message: str) -> None:
    assert refusal(decode, body(**fields)) == (param, message)


@pytest.mark.parametrize("name", ["model", "max_tokens", "messages"])
def test_missing_field_is_named(name: str) -> None:
    sent = json.dumps({key: value for key, value in LEAST.items() if key != name}).encode()

    assert refusal(decode, sent) == (name, f"{name}: Field required")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b'{"x":' + b"[" * 10_000,
        body().replace(b"Hi", b"\xff"),
        body().replace(b"Hi", b"\\ud800"),
        body(temperature=0).replace(b"0}", b"NaN}"),
        body(tools=[WEATHER]).replace(b"weather", b"\xff"),
        body(tools=[WEATHER]).replace(b"weather", b"\\ud800"),
    ],
    ids=lambda sent: repr(sent[:40]),
)
def test_body_that_is_not_a_request_is_refused(sent: bytes) -> None:
    refusal(decode, sent)


def nested(depth: int) -> bytes:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    use = b'{"type":"tool_use","id":"t","name":"n","input":' + deep + b"}"
    result = b'{"type":"tool_result","tool_use_id":"t"}'
    message = b'{"role":"assistant","content":[' + use + b']},{"role":"user","content":[' + result + b"]}"
    return b'{"model":"m","max_tokens":9,"messages":[' + message + b"]}"


def test_deeply_nested_request_is_read_or_refused() -> None:
    for depth in (1, *range(700, 1100, 3)):
        try:
            decode(nested(depth))
        except InvalidRequest as refused:
            assert "nested too deeply" in refused.message  # noqa: PT017


def test_request_too_deep_for_the_converter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflow(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(anthropic_request, "messages", overflow)

    assert refusal(decode, body()) == (None, "the body is nested too deeply")


def test_count_request_needs_no_max_tokens() -> None:
    sent = json.dumps({"model": "m", "messages": LEAST["messages"], "system": "S", "tools": [WEATHER]}).encode()

    assert decode_count(sent) == ChatRequest(
        messages=(Message("system", "S"), Message("user", "Hi")),
        model="m",
        max_tokens=UNBOUNDED,
        tools=(Tool("weather", "Tells it.", SCHEMA_TEXT),),
    )


def test_invalid_count_request_is_refused() -> None:
    assert refusal(decode_count, b'{"model":"m"}') == ("messages", "messages: Field required")


def test_request_that_only_fills_the_prompt_cache_is_not_relayed() -> None:
    relayed = decode(body(max_tokens=1))
    param, message = refusal(for_upstream, decode(body(max_tokens=0)))

    assert (param, "greater than or equal to 1" in message) == ("max_tokens", True)
    assert for_upstream(relayed) is relayed


def test_thread_can_be_started_but_not_continued() -> None:
    with pytest.raises(NotFound) as caught:
        decode(body(thread={"type": "continue", "previous_message_id": "msg_1"}))

    assert caught.value.param == "thread"
    assert decode(body(thread={"type": "create"})) == decode(body())
