import json
from typing import Any

import pytest

from tokenfall.wire.upstream.strict_schema import fits_strict, with_properties


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


STRING = {"type": "string"}
OPEN = {"type": "object", "properties": {"a": STRING}}


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        closed(a=STRING, b={"type": ["integer", "null"]}),
        closed(a=closed(b=STRING)),
        closed(a={"type": "array", "items": closed(b=STRING)}),
        closed(a={"anyOf": [closed(), {"type": "null"}]}),
        {**closed(a={"$ref": "#/$defs/x"}), "$defs": {"x": closed()}},
        closed(default=STRING),
    ],
)
def test_supported_schema_fits_strict(schema: dict[str, Any]) -> None:
    assert fits_strict(json.dumps(schema).encode())


@pytest.mark.parametrize(
    "schema",
    [
        OPEN,
        {**closed(a=STRING), "required": []},
        {**closed(a=STRING), "additionalProperties": True},
        {**closed(), "anyOf": [closed()]},
        {"type": "array", "items": closed()},
        closed(a=OPEN),
        closed(a={"type": "array", "items": OPEN}),
        closed(a={"type": "array", "items": True}),
        closed(a={"anyOf": [OPEN]}),
        closed(a={"type": ["object", "null"]}),
        closed(a={"properties": {}}),
        closed(a={"allOf": [closed()]}),
        closed(a={"type": "string", "default": "x"}),
        {**closed(), "$defs": {"x": OPEN}},
        {**closed(), "properties": []},
        {**closed(), "required": "a"},
        [closed()],
    ],
)
def test_unsupported_schema_does_not_fit_strict(schema: Any) -> None:
    assert not fits_strict(json.dumps(schema).encode())


@pytest.mark.parametrize(
    "text",
    [
        b'"additionalProperties',
        b'"additionalProperties"',
        b'["additionalProperties"' * 10_000,
        b'{"additionalProperties":"\xff"}',
    ],
)
def test_invalid_schema_does_not_fit(text: bytes) -> None:
    assert not fits_strict(text)


def test_schema_with_too_many_subschemas_does_not_fit() -> None:
    assert not fits_strict(json.dumps(closed(**{f"p{number}": STRING for number in range(6_000)})).encode())


@pytest.mark.parametrize("more", [{}, {"additionalProperties": True}, {"$defs": {"a": {"type": "string"}}}])
def test_schema_of_an_object_gets_properties(more: dict[str, Any]) -> None:
    schema = with_properties(json.dumps({"type": "object", **more}).encode())

    assert json.loads(schema) == {"type": "object", **more, "properties": {}}
    assert with_properties(schema) is schema


@pytest.mark.parametrize(
    "text", [b'{"type":"string"}', b"[]", b"{", b'"\xff"', b"[" * 4_000, b'{"type":"object"}' + b" " * 4_096]
)
def test_other_schema_is_unchanged(text: bytes) -> None:
    assert with_properties(text) == text
