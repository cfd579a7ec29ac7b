import json
from typing import Any

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest, Message, Tool
from tokenfall.wire.dialect import UNBOUNDED, ParsedRequest
from tokenfall.wire.ollama.request import OllamaOptions, decode_chat, decode_generate

from tests.unit.wire.refusals import refusal

PENALTY = 'option "presence_penalty" must be of type float32'
HI: list[dict[str, object]] = [{"role": "user", "content": "Hi"}]


def chat(**fields: object) -> ParsedRequest:
    return decode_chat(json.dumps({"model": "sim", "messages": HI, **fields}).encode())


def generate(**fields: object) -> ParsedRequest:
    return decode_generate(json.dumps({"model": "sim", "prompt": "Hi", **fields}).encode())


def test_chat_streams_by_default() -> None:
    request = ChatRequest(messages=(Message("user", "Hi"),), model="sim", max_tokens=UNBOUNDED)

    assert chat() == ParsedRequest(request=request, stream=True, options=OllamaOptions(generate=False))
    assert chat(stream=None).stream
    assert chat(stream=True).stream
    assert not chat(stream=False).stream


def test_every_field_of_a_chat_is_decoded() -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "weather", "description": "Of a city.", "parameters": parameters}
    options = {
        "num_predict": 7,
        "temperature": 1,
        "top_p": 0.5,
        "seed": 3,
        "stop": ["a", "", "b"],
        "num_ctx": 4096,
        "mirostat": "x",
    }

    parsed = chat(
        format={"type": "object"},
        options=options,
        tools=[
            {"type": "function", "function": function},
            {"function": {"name": "time"}},
            {"function": {}},
            {"type": "x"},
        ],
        think=True,
        keep_alive="5m",
        truncate=True,
        logprobs=True,
        top_logprobs=20,
    )

    assert parsed.request == ChatRequest(
        messages=(Message("user", "Hi"),),
        model="sim",
        max_tokens=7,
        temperature=1.0,
        top_p=0.5,
        seed=3,
        stop=("a", "b"),
        tools=(Tool("weather", "Of a city.", json.dumps(parameters).encode()), Tool("time")),
        schema=b'{"type": "object"}',
        reasoning=True,
    )


def test_null_field_is_treated_as_absent() -> None:
    names = ("format", "options", "think", "keep_alive", "tools", "stream", "top_logprobs")
    options = dict.fromkeys(("num_predict", "temperature", "top_p", "seed", "stop"))

    assert chat(**dict.fromkeys(names)) == chat(options=options) == chat()


def test_every_field_of_generate_is_decoded() -> None:
    parsed = generate(
        system="Be brief.",
        suffix="x",
        images=["iVBORw0KGgo="],
        template="x",
        context=[1, 2],
        format="json",
        options={"stop": "x"},
        think="high",
        stream=False,
    )

    assert parsed == ParsedRequest(
        request=ChatRequest(
            messages=(
                Message("system", "Be brief."),
                Message("user", "Hi", images=("data:image/png;base64,iVBORw0KGgo=",)),
            ),
            model="sim",
            max_tokens=UNBOUNDED,
            stop=("x",),
            json_object=True,
            reasoning=True,
            effort="high",
        ),
        stream=False,
        options=OllamaOptions(generate=True),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        *(
            ({"think": think}, {"effort": effort, "disables_reasoning": think is False, "reasoning": bool(think)})
            for think, effort in (
                ("low", "low"),
                ("medium", "medium"),
                ("high", "high"),
                ("max", "high"),
                (True, ""),
                (False, ""),
                (None, ""),
            )
        ),
        (
            {"options": {"presence_penalty": 1.5, "frequency_penalty": 0}},
            {"presence_penalty": 1.5, "frequency_penalty": 0.0},
        ),
        *(
            ({"options": {"num_predict": given}}, {"max_tokens": most})
            for given, most in (
                (1, 1),
                (2.9, 2),
                (0, UNBOUNDED),
                (-1, UNBOUNDED),
                (-2, UNBOUNDED),
                (2**40, UNBOUNDED),
            )
        ),
        *(
            ({"options": {"seed": given}}, {"seed": seed})
            for given, seed in (
                (0, 0),
                (-1, None),
                (-2, -2),
                (1e300, 2**63 - 1),
                (-(10**30), -(2**63)),
                (2**63 - 1, 2**63 - 1),
            )
        ),
        ({"format": ""}, {"schema": None, "json_object": False}),
        ({"format": {}}, {"schema": b"{}"}),
    ],
)
def test_fields_are_decoded_to_members_of_the_request(fields: dict[str, Any], expected: dict[str, object]) -> None:
    for read in (chat(**fields).request, generate(**fields).request):
        assert {name: getattr(read, name) for name in expected} == expected


@pytest.mark.parametrize("keep_alive", [5, -1, 0.5, "5m", "-1s", "1h30m", "1.5h", ".5s", "100ms", "3µs", "+1s", "10ns"])
def test_valid_keep_alive_is_accepted(keep_alive: object) -> None:
    assert chat(keep_alive=keep_alive) == chat()
    assert chat(messages=[], keep_alive=keep_alive).options == OllamaOptions(generate=False, load=True)


@pytest.mark.parametrize("keep_alive", [0, 0.0, -0.0, "0", "0s", "-0", "0h0m", "0.0s"])
def test_zero_keep_alive_unloads_the_model(keep_alive: object) -> None:
    assert generate(prompt="", keep_alive=keep_alive).options == OllamaOptions(generate=True, load=True, unload=True)
    assert generate(keep_alive=keep_alive).options == OllamaOptions(generate=True)


def test_empty_prompt_loads_the_model() -> None:
    parsed = generate(prompt=None, system="Be brief.", images=["iVBORw0KGgo="])

    assert parsed.options == OllamaOptions(generate=True, load=True)
    assert parsed.request.messages == (Message("system", "Be brief."),)


@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"model": None}, "model is required", "model"),
        ({"model": ""}, "model is required", "model"),
        ({"model": "x" * 201}, "invalid model name", "model"),
        ({"model": 1}, "model: Expected `str | null`, got `int`", "model"),
        ({"messages": "Hi"}, "messages: Expected `array | null`, got `str`", "messages"),
        (
            {"messages": [{"role": "user", "content": []}]},
            "messages[0].content: Expected `str | null`, got `array`",
            "messages[0].content",
        ),
        (
            {"messages": [{"content": "Hi"}]},
            "messages[0].role: Object missing required field `role`",
            "messages[0].role",
        ),
        ({"stream": "yes"}, "stream: Expected `bool | null`, got `str`", "stream"),
        ({"format": "xml"}, r'invalid format: "\"xml\""; expected "json" or a valid JSON Schema object', "format"),
        ({"format": [1]}, 'invalid format: "..."; expected "json" or a valid JSON Schema object', "format"),
        ({"format": True}, 'invalid format: "..."; expected "json" or a valid JSON Schema object', "format"),
        (
            {"think": "hard"},
            'invalid think value: "hard" (must be "high", "medium", "low", "max", true, or false)',
            "think",
        ),
        ({"think": 1}, "think: Expected `bool | str | null`, got `int`", "think"),
        ({"options": []}, "options: Expected `object | null`, got `array`", "options"),
        ({"options": {"seed": "1"}}, 'option "seed" must be of type integer', "options.seed"),
        ({"options": {"num_predict": True}}, 'option "num_predict" must be of type integer', "options.num_predict"),
        ({"options": {"temperature": "1"}}, 'option "temperature" must be of type float32', "options.temperature"),
        ({"options": {"presence_penalty": "x"}}, PENALTY, "options.presence_penalty"),
        ({"options": {"top_p": 10**400}}, 'option "top_p" must be of type float32', "options.top_p"),
        ({"options": {"stop": 1}}, 'option "stop" must be of type array', "options.stop"),
        ({"options": {"stop": ["a"] * 65}}, 'option "stop" must be of at most 64 strings', "options.stop"),
        ({"keep_alive": "1h" * 101}, f'time: invalid duration "{"1h" * 20}"', "keep_alive"),
        ({"options": {"stop": [1]}}, 'option "stop" must be of an array of strings', "options.stop"),
        ({"keep_alive": "soon"}, 'time: invalid duration "soon"', "keep_alive"),
        ({"keep_alive": ""}, 'time: invalid duration ""', "keep_alive"),
        ({"keep_alive": "5"}, 'time: missing unit in duration "5"', "keep_alive"),
        ({"keep_alive": []}, "keep_alive: Expected `float | str | null`, got `array`", "keep_alive"),
        ({"top_logprobs": 21}, "top_logprobs must be between 0 and 20", "top_logprobs"),
        ({"top_logprobs": -1}, "top_logprobs must be between 0 and 20", "top_logprobs"),
        (
            {"tools": [{"function": {"name": "a", "parameters": True}}]},
            "tools[0].function.parameters: Expected `object | null`, got `bool`",
            "tools[0].function.parameters",
        ),
        ({"tools": {}}, "tools: Expected `array | null`, got `object`", "tools"),
    ],
)
def test_invalid_request_is_refused(fields: dict[str, object], message: str, param: str) -> None:
    assert refusal(chat, **fields) == (param, message)


@pytest.mark.parametrize("fields", [{"template": "x"}, {"system": "x"}, {"context": [1]}])
def test_raw_with_system_template_or_context_is_refused(fields: dict[str, object]) -> None:
    assert generate(raw=True, template="", system="", context=[]).request.messages == (Message("user", "Hi"),)
    refused = refusal(generate, raw=True, **fields)
    assert refused == ("raw", "raw mode does not support template, system, or context")


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_empty_body_is_refused(body: bytes) -> None:
    assert refusal(decode_generate, body) == (None, "missing request body")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model":"\xff"}', b'{"format":' + b"[" * 10_000])
def test_body_that_is_not_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_chat(body)
