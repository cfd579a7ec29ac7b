from typing import Any

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.schema.budget import Budget, Unsatisfiable
from tokenfall.simulator.schema.keywords import check_keywords, count_of, merge_schemas, number_of, types_of

WRONG: list[tuple[str, list[Any]]] = [
    ("allOf anyOf oneOf prefixItems enum required", [{}, "a", 1, True]),
    ("additionalProperties contains else if not propertyNames then", [[], "a", 1]),
    ("items", ["a", 1]),
    ("unevaluatedItems unevaluatedProperties", [[], "a", 1]),
    ("$defs dependencies dependentRequired dependentSchemas patternProperties properties", [[], "a", True]),
    ("exclusiveMaximum exclusiveMinimum", ["1e30000000", [], "NaN"]),
    ("maximum minimum multipleOf", ["1e30000000", True, [], "NaN"]),
    ("maxContains maxItems maxLength maxProperties", ["1", False, []]),
    ("minContains minItems minLength minProperties", ["1", False, []]),
    ("$ref format pattern", [1, {}, ["a"]]),
    ("type", [1, {}, "strnig", [], ["string", 1], [["string"]], ["string", "strnig"], ["null"] * 8]),
    ("uniqueItems", [0, "true"]),
]


@pytest.mark.parametrize(
    ("keyword", "value"), [(keyword, value) for group, values in WRONG for keyword in group.split() for value in values]
)
def test_keyword_with_a_value_of_a_wrong_type_is_refused_by_name(keyword: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match="must be") as caught:
        check_keywords({"title": "t", keyword: value}, Budget())

    assert f"`{keyword}`" in caught.value.message


def test_null_keyword_is_absent_except_for_const() -> None:
    assert check_keywords({"required": None, "type": "string"}, Budget()) == {"type": "string"}
    assert check_keywords({"required": None, "const": None}, Budget()) == {"const": None, "enum": [None]}


@pytest.mark.parametrize(
    ("earlier", "current"),
    [
        ({"items": [True, False]}, {"prefixItems": [True, False], "items": True}),
        ({"items": [{}], "additionalItems": False}, {"prefixItems": [{}], "items": False, "additionalItems": False}),
        ({"items": {}}, {"items": {}}),
        ({"minimum": 3, "exclusiveMinimum": True}, {"exclusiveMinimum": 3}),
        ({"minimum": 3, "exclusiveMinimum": False}, {"minimum": 3}),
        ({"exclusiveMaximum": True}, {}),
        ({"maximum": 3, "exclusiveMaximum": 2}, {"maximum": 3, "exclusiveMaximum": 2}),
    ],
)
def test_forms_of_earlier_drafts_are_read(earlier: dict[str, Any], current: dict[str, Any]) -> None:
    assert check_keywords(earlier, Budget()) == current


@pytest.mark.parametrize("keyword", ["$dynamicRef", "$recursiveRef"])
def test_dynamic_references_are_refused(keyword: str) -> None:
    with pytest.raises(Unsatisfiable, match=rf"`\{keyword}` is not supported"):
        check_keywords({keyword: "#a"}, Budget())


@pytest.mark.parametrize(
    ("const", "enum", "allowed"), [(1, [1, 2], [1]), (1, [True, 2], []), (True, [1, True], [True]), (1, [1.0], [1])]
)
def test_const_and_enum_must_both_hold(const: object, enum: list[object], allowed: list[object]) -> None:
    assert check_keywords({"const": const, "enum": enum}, Budget())["enum"] == allowed


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [(4, 6, 12), (0.5, 0.75, 1.5), (2, 0.4, 2), (0.1, 0.25, 0.5), (0, 3, 0), (3, -1, -1)],
)
def test_multiple_of_both_is_a_multiple_of_each(one: float, other: float, both: float) -> None:
    assert merge_schemas({"multipleOf": one}, {"multipleOf": other}, budget=Budget()) == {"multipleOf": both}


@pytest.mark.parametrize(("one", "other"), [(10**300 + 1, 10**300 + 3), (1e400, 1), (1, 10**400)])
def test_multiples_beyond_a_double_are_refused(one: float, other: float) -> None:
    with pytest.raises(InvalidRequest, match="`multipleOf`"):
        merge_schemas({"multipleOf": one}, {"multipleOf": other}, budget=Budget())


@pytest.mark.parametrize("value", [-1, 2.5, -0.5, float("inf"), float("nan")])
def test_count_that_is_not_an_integer_is_refused(value: float) -> None:
    with pytest.raises(InvalidRequest, match="`minItems` must be an integer, 0 or more"):
        count_of({"minItems": value}, "minItems", default=0)


def test_integral_float_is_accepted_as_a_count() -> None:
    assert (count_of({"minItems": 3.0}, "minItems", default=0), count_of({}, "minItems", default=7)) == (3, 7)


@pytest.mark.parametrize("value", [10**308, -(10**400), float("inf"), float("-inf"), float("nan")])
def test_number_beyond_a_double_is_refused(value: float) -> None:
    with pytest.raises(InvalidRequest, match="`maximum` must be a number"):
        number_of({"maximum": value}, "maximum")


def test_number_within_a_double_is_read() -> None:
    assert [number_of({"maximum": value}, "maximum") for value in (10**307, 1e308, -5)] == [10**307, 1e308, -5]
    assert number_of({}, "maximum") is None


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({"type": "null"}, ["null"]),
        ({"type": ["null", "integer", "string"]}, ["integer", "string", "null"]),
        ({"required": []}, ["object"]),
        ({"minItems": 1}, ["array"]),
        ({"multipleOf": 1}, ["number"]),
        ({"title": "t"}, ["string"]),
    ],
)
def test_types_are_derived_from_type_or_other_keywords(schema: dict[str, Any], types: list[str]) -> None:
    assert types_of(schema) == types


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ({"minimum": 1, "maximum": 5}, {"minimum": 2, "maximum": 9}, {"minimum": 2, "maximum": 5}),
        ({"minLength": 1}, {"maxLength": 3}, {"minLength": 1, "maxLength": 3}),
        ({"required": ["a"]}, {"required": ["b"]}, {"required": ["a", "b"]}),
        ({"type": "number"}, {"type": ["integer", "null"]}, {"type": ["integer"]}),
        ({"type": "integer"}, {"type": "number"}, {"type": ["integer"]}),
        ({"type": ["integer", "number"]}, {"type": ["integer", "number"]}, {"type": ["integer", "number"]}),
        ({"enum": [1, 2, {"a": 1, "b": 2}]}, {"enum": [{"b": 2, "a": 1}, 2]}, {"enum": [2, {"a": 1, "b": 2}]}),
        ({"items": {}}, {"items": False}, {"items": {"allOf": [{}, False]}}),
        (
            {"properties": {"a": True, "b": {}}},
            {"properties": {"b": False, "c": {}}},
            {"properties": {"a": True, "b": {"allOf": [{}, False]}, "c": {}}},
        ),
        ({"prefixItems": [1, 2]}, {"prefixItems": [3]}, {"prefixItems": [{"allOf": [1, 3]}, 2]}),
        ({"prefixItems": [1]}, {"prefixItems": [2, 3]}, {"prefixItems": [{"allOf": [1, 2]}, 3]}),
        ({"pattern": "a"}, {"pattern": "a"}, {"pattern": "a"}),
        ({"uniqueItems": True}, {"uniqueItems": False}, {"uniqueItems": True}),
        ({"title": "one"}, {"title": "other"}, {"title": "other"}),
    ],
)
def test_merged_schema_has_the_constraints_of_both(
    one: dict[str, Any], other: dict[str, Any], both: dict[str, Any]
) -> None:
    assert merge_schemas(one, other, budget=Budget()) == both


@pytest.mark.parametrize(
    ("one", "other", "keyword"),
    [({"type": "string"}, {"type": ["null"]}, "type"), ({"pattern": "a"}, {"pattern": "b"}, "pattern")],
)
def test_two_schemas_that_exclude_each_other_are_unsatisfiable(one: Any, other: Any, keyword: str) -> None:
    with pytest.raises(Unsatisfiable, match=f"`{keyword}`"):
        merge_schemas(one, other, budget=Budget())
