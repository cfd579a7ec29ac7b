import json
from contextlib import suppress
from time import process_time
from typing import Any

import jsonschema
import msgspec
import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.schema.budget import MAX_STEPS, Budget
from tokenfall.simulator.schema.sampler import instance
from tokenfall.simulator.structured_output import MAX_DIGITS, json_texts
from tokenfall.slicing.computation import at_once
from tokenfall.tokens import tokens_of

from tests.doubles.hostile_schemas import HOSTILE, doubled

LONGEST_S = 0.1
"""Processor time: about twenty times what the worst schema takes on an idle machine."""

KEYWORDS = (
    "$defs $ref $anchor $dynamicRef allOf anyOf oneOf not if then else additionalProperties contains dependentSchemas "
    "items patternProperties prefixItems properties propertyNames unevaluatedItems unevaluatedProperties const "
    "dependentRequired enum exclusiveMaximum exclusiveMinimum format maxContains maximum maxItems maxLength "
    "maxProperties minContains minimum minItems minLength minProperties multipleOf pattern required type uniqueItems "
    "contentSchema"
)
"""Keywords that constrain values, of the draft 2020-12 vocabularies core, applicator, unevaluated, validation, format
and content."""


def generated(schemas: list[bytes], **options: Any) -> list[str]:
    return at_once(json_texts(schemas, **options))


def written(schema: Any, **options: Any) -> str:
    return generated([json.dumps(schema).encode()], **options)[0]


def processor_s(schema: Any) -> float:
    """The shortest of three processor times for decoding a schema and generating its value."""
    text = msgspec.json.encode(schema)
    times = []
    for _ in range(3):
        began_s = process_time()
        try:
            tokens_of(generated([text])[0])
        except InvalidRequest as error:
            assert error.message.startswith("the simulator cannot satisfy this JSON schema: ")  # noqa: PT017 - or valid
        times.append(process_time() - began_s)
    return min(times)


def keywords_of(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        return set(schema).union(*map(keywords_of, schema.values()))
    return set().union(*map(keywords_of, schema)) if isinstance(schema, list) else set()


@pytest.mark.slow
def test_hostile_schemas_have_every_keyword() -> None:
    assert set(KEYWORDS.split()) <= set().union(*map(keywords_of, HOSTILE.values()))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schema_ends_within_the_budget(name: str) -> None:
    budget = Budget()
    try:
        instance(HOSTILE[name], budget)
    except InvalidRequest as error:
        assert "`" in error.message or "no number" in error.message  # noqa: PT017 - a value is valid, too

    largest_step = len(msgspec.json.encode(HOSTILE[name])) + 1_000
    assert budget.spent <= MAX_STEPS + largest_step


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schema_of_twice_the_size_takes_no_longer(name: str) -> None:
    assert processor_s(HOSTILE[name]) < LONGEST_S
    assert processor_s(doubled(name)) < LONGEST_S


def test_ordinary_large_schema_is_satisfied() -> None:
    kinds = [
        {"type": "string", "description": "What the customer calls it, in his own words, as the form has it."},
        {"type": "integer", "minimum": 1, "maximum": 99},
        {"type": "string", "enum": [f"value number {number}" for number in range(500)]},
        {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/address"}]},
        {"type": "array", "items": {"$ref": "#/$defs/address"}},
        {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"},
    ]
    properties = {f"property_{number}": kinds[number % 2 if number > 12 else number % 6] for number in range(300)}
    address = {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"pattern": r"^\d{5}$"}}}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "$defs": {"address": address | {"required": ["city", "zip"]}},
    }

    jsonschema.Draft202012Validator(schema).validate(json.loads(written(schema)))


def test_generated_json_has_spaces_after_separators() -> None:
    schema = {"properties": {"a": {"const": [1, 2]}, "b": {"const": None}}, "required": ["a", "b"]}

    assert written(schema) == '{"a": [1, 2], "b": null}'


@pytest.mark.parametrize("schema", [{}, {"description": "d"}, {"additionalProperties": False}, {"type": "object"}])
def test_tool_schema_without_a_type_is_an_object_schema(schema: Any) -> None:
    assert written(schema, objects=True) == "{}"


def test_tool_schema_with_a_type_is_unchanged() -> None:
    assert written({"const": 1}, objects=True) == written({"enum": [1]}, objects=True) == "1"
    assert generated([b"true"], objects=True) == generated([b"{}"]) == ['"large language models"']


def test_schemas_of_one_request_share_one_budget() -> None:
    schema = json.dumps({"required": [str(number) for number in range(200)]}).encode()

    assert len(generated([schema] * 2)) == 2
    with pytest.raises(InvalidRequest, match="steps of one request"):
        generated([schema] * 8)


def test_every_copy_of_a_text_spends_budget() -> None:
    schema = {"const": "x" * 20_000}

    assert len(written(schema, copies=2)) == 20_002
    with pytest.raises(InvalidRequest, match="`n` takes more than the 5000 steps"):
        written(schema, copies=128)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[1]", "Expected"),
        (b"{", "truncated"),
        (b'{"a": "\xff"}', "utf-8"),
        (b'{"minimum": 1e400}', "`minimum` must be a number"),
        (b'{"minimum": 1' + b"0" * 310 + b"}", "`minimum` must be a number"),
        (b'{"minimum": ' + b"9" * 5_000 + b"}", f"a number has {MAX_DIGITS} digits or more"),
        (b'{"enum": [0.' + b"3" * 5_000 + b"]}", f"a number has {MAX_DIGITS} digits or more"),
        (b'{"minimum": NaN}', "malformed"),
        (b'{"enum": [' + b"1," * 30_000 + b"1]}", "`size of the schema` takes more"),
        (b'{"title": "' + b"x" * 2_000_000 + b'"}', "`size of the schema` takes more"),
    ],
)
def test_schema_that_cannot_be_decoded_cheaply_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^the simulator cannot satisfy this JSON schema: .*{why}"):
        generated([text])


def test_deeply_nested_schema_is_refused_or_satisfied() -> None:
    """The decoder's depth limit depends on the interpreter and on the caller's stack depth.

    Among the depths are some at which the schema can be decoded, but not a value that is nested deeper than it.
    """
    chain = {str(n): {"type": "array", "items": {"$ref": f"#/$defs/{n + 1}"}, "minItems": 1} for n in range(30)}
    head = json.dumps({"$ref": "#/$defs/0", "$defs": chain | {"30": {"const": "DEEP"}}})
    for depth in (*range(700, 1_000, 5), 2_000, 9_000):
        nested = b"[" * depth + b"]" * depth
        for text in (head.encode().replace(b'"DEEP"', nested), b'{"a":' * depth + b"1" + b"}" * depth):
            with suppress(InvalidRequest):
                assert generated([text])
