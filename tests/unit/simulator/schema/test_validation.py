from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.schema.budget import Budget
from tokenfall.simulator.schema.keywords import Schema
from tokenfall.simulator.schema.scalars import Scalars
from tokenfall.simulator.schema.validation import Validator, dependents


def satisfies(value: Any, schema: Any) -> bool:
    budget = Budget()
    return Validator(schema, budget, parse_pattern=Scalars(budget).pattern).satisfies(value, schema, keyword="not")


SCHEMAS: list[Any] = [
    True,
    False,
    {"type": "integer"},
    {"type": ["string", "null"]},
    {"enum": [1, "a", None, [1], {"a": 1}]},
    {"const": True},
    {"const": 1},
    {"pattern": "^a"},
    {"minLength": 2, "maxLength": 2},
    {"minimum": 1, "exclusiveMaximum": 2.5},
    {"multipleOf": 0.5},
    {"multipleOf": 2},
    {"minProperties": 1, "maxProperties": 1},
    {"required": ["a"]},
    {"properties": {"a": {"type": "integer"}}, "additionalProperties": False},
    {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
    {"propertyNames": {"maxLength": 1}},
    {"dependentRequired": {"a": ["b"]}},
    {"dependentSchemas": {"a": {"minProperties": 2}}},
    {"items": {"type": "integer"}},
    {"prefixItems": [{"const": 1}], "items": {"type": "string"}},
    {"minItems": 1, "maxItems": 2},
    {"uniqueItems": True},
    {"contains": {"const": 1}},
    {"contains": {"const": 1}, "minContains": 2, "maxContains": 2},
    {"contains": {"const": 1}, "minContains": 0},
    {"allOf": [{"type": "integer"}, {"minimum": 2}]},
    {"anyOf": [{"type": "string"}, {"minimum": 2}]},
    {"oneOf": [{"type": "integer"}, {"minimum": 2}]},
    {"not": {"type": "integer"}},
    {"if": {"type": "integer"}, "then": {"minimum": 2}, "else": {"type": "string"}},
    {"if": {"type": "integer"}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#"}}}},
]
VALUES: list[Any] = [
    None, True, False, 0, 1, 1.0, 2, 2.5, 7, "", "a", "ab", "b", [], [1], [1, 1], [1, "a"], [1, 1, 1], ["a"], [[]],
    {}, {"a": 1}, {"a": "x"}, {"b": "x"}, {"a": 1, "b": "x"}, {"ab": 1}, {"a": {}},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_validation_agrees_with_jsonschema(schema: Any) -> None:
    reference = jsonschema.Draft202012Validator(schema)

    assert [satisfies(value, schema) for value in VALUES] == [reference.is_valid(value) for value in VALUES]


@given(st.sampled_from(SCHEMAS), st.sampled_from(SCHEMAS), st.sampled_from(VALUES))
@settings(max_examples=200, deadline=None)
def test_validation_of_combined_schemas_agrees_with_jsonschema(one: Any, other: Any, value: Any) -> None:
    for keyword in ("allOf", "oneOf"):
        schema = {"$defs": {"a": {"type": "array"}}, keyword: [one, other]}
        assert satisfies(value, schema) == jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_number_beyond_a_double_is_not_a_multiple(value: float) -> None:
    assert not satisfies(value, {"multipleOf": 2})


@pytest.mark.parametrize("schema", [{"not": {"multipleOf": 0}}, {"not": {"type": "x"}}, {"oneOf": [7]}, 7])
def test_malformed_schema_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidRequest, match="must be"):
        satisfies(1, schema)


def test_recursive_reference_ends() -> None:
    assert satisfies(1, {"$ref": "#", "type": "integer"})
    assert not satisfies("a", {"$ref": "#", "type": "integer"})


def test_validation_has_a_budget() -> None:
    wide: Schema = {"oneOf": [{"const": number} for number in range(5_000)]}
    with pytest.raises(InvalidRequest, match="`oneOf` takes more than the 5000 steps"):
        satisfies(1, wide)


def test_unevaluated_properties_are_other_properties() -> None:
    schema = {"properties": {"a": True}, "unevaluatedProperties": {"type": "integer"}}

    assert (satisfies({"a": "x", "b": 1}, schema), satisfies({"b": "x"}, schema)) == (True, False)


def test_dependencies_of_all_drafts() -> None:
    part = {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {}}, "dependencies": {"d": ["e"], "f": True}}

    assert dict(dependents(part)) == {"a": {"required": ["b"]}, "c": {}, "d": {"required": ["e"]}, "f": True}
