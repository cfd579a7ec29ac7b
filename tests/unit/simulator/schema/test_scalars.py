import re
from typing import Any

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.schema.budget import Budget, Unsatisfiable
from tokenfall.simulator.schema.scalars import MAX_TEXT, Scalars, fits


def text(schema: dict[str, Any], name: str = "", *, variant: int = 0) -> str:
    return Scalars(Budget()).text(schema, name, variant=variant)


def number(schema: dict[str, Any], *, integer: bool = False, variant: int = 0) -> float:
    return Scalars(Budget()).number(schema, integer=integer, variant=variant)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "some first name"),
        ({"maxLength": 4}, "some"),
        ({"minLength": 20}, "some first namesome first name"),
        ({"format": "date"}, "2026-01-31"),
        ({"format": "unknown"}, "some first name"),
        ({"format": "date", "pattern": r"^\d{4}-\d\d-\d\d$"}, "2026-01-31"),
        ({"format": "date", "pattern": r"^\d{4}$"}, "1234"),
        ({"pattern": r"^.{1,20}$"}, "some first name"),
        ({"pattern": r"^.{1,20}$", "maxLength": 5}, "some "),
        ({"pattern": r"^[a-z]+$", "minLength": 7}, "tokenfa"),
    ],
)
def test_text_is_derived_from_name_format_or_pattern(schema: dict[str, Any], expected: str) -> None:
    assert text(schema, "first_name") == expected


def test_text_of_a_pattern_and_a_format_differs_by_variant() -> None:
    schema = {"format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
    texts = {text(schema, variant=variant) for variant in range(5)}

    assert len(texts) == 5
    assert all(re.fullmatch(schema["pattern"], each) for each in texts)


def test_pattern_is_parsed_once_per_request() -> None:
    budget = Budget()
    scalars = Scalars(budget)
    costs = []
    for _ in range(3):
        before = budget.spent
        scalars.text({"pattern": "^" + "a" * 300 + "$"}, "", variant=0)
        costs.append(budget.spent - before)

    assert costs[0] > costs[1] + 300
    assert costs[1] >= costs[2]


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"minLength": 3, "maxLength": 2}, "minLength"),
        ({"minLength": MAX_TEXT + 1}, "minLength"),
        ({"format": "uuid", "maxLength": 3}, "format"),
        ({"pattern": "(?=a)"}, "pattern"),
    ],
)
def test_text_with_contradicting_bounds_is_unsatisfiable(schema: dict[str, Any], keyword: str) -> None:
    with pytest.raises(Unsatisfiable, match=f"`{keyword}`"):
        text(schema)


@pytest.mark.parametrize(
    ("schema", "integer", "expected"),
    [
        ({}, True, 1),
        ({}, False, 1.5),
        ({"minimum": 3}, True, 3),
        ({"minimum": 2.5}, True, 3),
        ({"exclusiveMinimum": 3}, True, 4),
        ({"maximum": -2}, True, -2),
        ({"exclusiveMaximum": 0}, True, -1),
        ({"minimum": 1, "maximum": 2}, False, 1.5),
        ({"minimum": 1}, False, 1.5),
        ({"maximum": 1}, False, 0.5),
        ({"multipleOf": 0.1, "minimum": 0.25}, False, 0.3),
        ({"multipleOf": 0.5, "minimum": 0.6}, True, 1),
        ({"multipleOf": 1e300, "minimum": 1e299}, False, 1e300),
        ({"multipleOf": 5e-324, "minimum": 1}, True, 1),
        ({"minimum": 1e308}, True, 1e308),
    ],
)
def test_number_is_within_its_bounds(schema: dict[str, Any], integer: bool, expected: float) -> None:
    assert number(schema, integer=integer) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 3, "maximum": 2},
        {"minimum": 3, "exclusiveMaximum": 3},
        {"multipleOf": 7, "minimum": 1, "maximum": 6},
        {"multipleOf": 1.7e308, "minimum": 1.75e308},
    ],
)
def test_number_with_contradicting_bounds_is_unsatisfiable(schema: dict[str, Any]) -> None:
    with pytest.raises(Unsatisfiable, match="no number"):
        number(schema)


@pytest.mark.parametrize("step", [0, -1, -0.5])
def test_multiple_of_zero_is_refused(step: float) -> None:
    with pytest.raises(InvalidRequest, match="`multipleOf` must be a number above 0"):
        number({"multipleOf": step})


def test_number_with_many_digits_spends_more_steps() -> None:
    costs = []
    for bound in (1, 1e300, 5e-324):
        budget = Budget()
        Scalars(budget).number({"minimum": bound}, integer=False, variant=0)
        costs.append(budget.spent)

    assert 10 * costs[0] < costs[1] < costs[2]


@pytest.mark.parametrize(
    ("value", "schema", "allowed"),
    [
        ("ab", {"type": "string", "minLength": 2, "maxLength": 2}, True),
        ("ab", {"minLength": 3}, False),
        ("ab", {"type": ["integer", "null"]}, False),
        (2.0, {"type": "integer"}, True),
        (2.5, {"type": "integer"}, False),
        (True, {"type": "integer"}, False),
        (True, {"type": "boolean", "minimum": 5}, True),
        (3, {"minimum": 3, "maximum": 3}, True),
        (3, {"minimum": 4}, False),
        (3, {"exclusiveMinimum": 3}, False),
        (3, {"exclusiveMaximum": 3}, False),
        (3, {"exclusiveMinimum": 2, "exclusiveMaximum": 4}, True),
        (None, {"type": "null"}, True),
        ([], {"minItems": 3}, True),
    ],
)
def test_enum_value_is_checked_against_type_and_bounds(value: object, schema: dict[str, Any], allowed: bool) -> None:
    assert fits(value, schema) is allowed
