"""Validates the keywords of a JSON schema, and merges two schemas into one that requires both. Pure.

Source: JSON Schema, draft 2020-12, validation and applicator vocabularies. A null keyword is treated as absent, as some
clients send it, except for `const`.
"""

from collections.abc import Callable
from fractions import Fraction
from math import gcd, isfinite, lcm
from typing import Any

import msgspec

from tokenfall.simulator.schema.budget import Budget, malformed, unsatisfiable

Schema = dict[str, Any] | bool

TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")

_SCHEMA_KEYWORDS = (
    "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "unevaluatedItems",
    "unevaluatedProperties",
)  # fmt: skip
_COUNTS = (
    "maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength", "minProperties",
)  # fmt: skip
_NUMBERS = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf")
MAX_NUMBER = 10**308
_COUNT = "an integer, 0 or more"
_TYPE = f"one of {', '.join(TYPES)}, or a list of them"

_ACCEPTED: dict[str, tuple[frozenset[type], str]] = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), (frozenset({list}), "a list of schemas")),
    **dict.fromkeys(_SCHEMA_KEYWORDS, (frozenset({dict, bool}), "a schema: an object, true or false")),
    **dict.fromkeys(
        ("$defs", "dependencies", "dependentSchemas", "patternProperties", "properties"),
        (frozenset({dict}), "an object whose members are schemas"),
    ),
    **dict.fromkeys(_NUMBERS, (frozenset({int, float}), "a number")),
    **dict.fromkeys(_COUNTS, (frozenset({int, float}), _COUNT)),
    **dict.fromkeys(("$ref", "format", "pattern"), (frozenset({str}), "a string")),
    "dependentRequired": (frozenset({dict}), "an object whose members are lists of names"),
    "enum": (frozenset({list}), "a list of values"),
    "required": (frozenset({list}), "a list of names"),
    "type": (frozenset({str, list}), _TYPE),
    "uniqueItems": (frozenset({bool}), "true or false"),
}


def check_keywords(part: dict[str, Any], budget: Budget) -> dict[str, Any]:
    """`part` without null keywords, with `const` as an `enum`. Raises `InvalidRequest` for a value of a wrong type."""
    budget.spend(len(part) // 4, "properties of a schema")
    if None in part.values():
        part = {key: value for key, value in part.items() if value is not None or key == "const"}
    if not _EARLIER.isdisjoint(part):
        part = _current(part)
    for key, value in part.items():
        accepted = _ACCEPTED.get(key)
        if accepted is not None and type(value) not in accepted[0]:
            raise malformed(key, accepted[1])
    if "type" in part:
        _check_type(part["type"])
    if "const" in part:
        only = part["const"]
        budget.spend(len(part.get("enum", ())) // 8, "enum")
        part = {**part, "enum": [only] if any(equal(only, each) for each in part.get("enum", (only,))) else []}
    return part


def equal(one: Any, other: Any) -> bool:  # noqa: ANN401 - JSON values
    """Whether two JSON values are equal: Python's `True == 1` does not hold."""
    return one is other if isinstance(one, bool) or isinstance(other, bool) else bool(one == other)


_EARLIER = frozenset({"$dynamicRef", "$recursiveRef", "items", "exclusiveMinimum", "exclusiveMaximum"})


def _current(part: dict[str, Any]) -> dict[str, Any]:
    """`part` with the forms of earlier drafts in their current form: tuples as `items`, boolean exclusive bounds."""
    for key in ("$dynamicRef", "$recursiveRef"):
        if key in part:
            raise unsatisfiable(f"`{key}` is not supported")
    if isinstance(part.get("items"), list):
        part = {**part, "prefixItems": part["items"], "items": part.get("additionalItems", True)}
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(part.get(exclusive), bool):
            taken = {exclusive, bound} if part[exclusive] else {exclusive}
            inner = {exclusive: part[bound]} if part[exclusive] and bound in part else {}
            part = {key: value for key, value in part.items() if key not in taken} | inner
    return part


def _check_type(kinds: str | list[Any]) -> None:
    listed = [kinds] if isinstance(kinds, str) else kinds
    if not 0 < len(listed) <= len(TYPES) or not all(kind in TYPES for kind in listed):
        raise malformed("type", _TYPE)


def count_of(schema: dict[str, Any], keyword: str, *, default: int) -> int:
    """The value of a keyword that is a count. Raises `InvalidRequest`."""
    value = schema.get(keyword, default)
    if value < 0 or not (isinstance(value, int) or value.is_integer()):
        raise malformed(keyword, _COUNT)
    return int(value)


def number_of(schema: dict[str, Any], keyword: str) -> int | float | None:
    """The value of a keyword that is a number, None if absent. Raises `InvalidRequest` if it is beyond a double."""
    value: int | float | None = schema.get(keyword)
    if (isinstance(value, int) and value.bit_length() > 1023) or (isinstance(value, float) and not isfinite(value)):
        raise malformed(keyword, "a number of less than 1e308")
    return value


def types_of(schema: dict[str, Any]) -> list[str]:
    """The allowed types of a value, in the order in which they are tried. Derived from other keywords if not given."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return sorted(kinds, key="null".__eq__)
    if kinds is not None:
        return [kinds]
    for kind, keys in (
        ("object", ("properties", "required", "additionalProperties", "minProperties")),
        ("array", ("items", "prefixItems", "minItems", "maxItems")),
        ("array", ("contains", "uniqueItems")),
        ("object", ("patternProperties", "propertyNames")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    ):
        if any(key in schema for key in keys):
            return [kind]
    return ["string"]


def merge_schemas(one: dict[str, Any], other: dict[str, Any], *, budget: Budget) -> dict[str, Any]:
    """A schema that requires both schemas. Raises `Unsatisfiable` if they exclude each other."""
    budget.spend((len(one) + len(other)) // 16, "allOf")
    both = {**one, **other}
    for key in one.keys() & other.keys() & _BOTH.keys():
        first, second = one[key], other[key]
        if isinstance(first, (dict, list)) and isinstance(second, (dict, list)):
            budget.spend(len(first) // 16 + len(second) // 4, key)
        both[key] = _BOTH[key](first, second)
    if "enum" in one and "enum" in other:
        known = {_encoded(value, budget) for value in other["enum"]}
        both["enum"] = [value for value in one["enum"] if _encoded(value, budget) in known]
    return both


def _encoded(value: object, budget: Budget) -> bytes:
    encoded = msgspec.json.encode(value, order="sorted")
    budget.spend(1 + len(encoded) // 16, "enum")
    return encoded


def _both_schemas(one: Schema, other: Schema) -> Schema:
    return {"allOf": [one, other]}


def _both_properties(one: dict[str, Schema], other: dict[str, Schema]) -> dict[str, Schema]:
    return {**one, **{name: {"allOf": [one[name], other[name]]} if name in one else other[name] for name in other}}


def _both_prefixes(one: list[Schema], other: list[Schema]) -> list[Schema]:
    shared: list[Schema] = [{"allOf": list(pair)} for pair in zip(one, other, strict=False)]
    return [*shared, *one[len(shared) :], *other[len(shared) :]]


def _both_types(one: str | list[str], other: str | list[str]) -> list[str]:
    ones, others = ([kinds] if isinstance(kinds, str) else kinds for kinds in (one, other))
    kinds = [kind for kind in ones if kind in others or (kind == "integer" and "number" in others)]
    kinds += ["integer" for kind in others if kind == "integer" and "number" in ones and "integer" not in kinds]
    if not kinds:
        raise unsatisfiable("`type`: no type satisfies all of its parts")
    return kinds


def _both_multiples(one: float, other: float) -> float:
    """The least common multiple."""
    for each in (one, other):
        number_of({"multipleOf": each}, "multipleOf")
        if each <= 0:
            return each  # refused when it is used
    first, second = Fraction(str(one)), Fraction(str(other))
    multiple = Fraction(lcm(first.numerator, second.numerator), gcd(first.denominator, second.denominator))
    if multiple > MAX_NUMBER:
        raise unsatisfiable("`multipleOf`: no number of less than 1e308 is a multiple of both")
    return multiple.numerator if multiple.denominator == 1 else float(multiple)


def _both_patterns(one: str, other: str) -> str:
    if one != other:
        raise unsatisfiable("`pattern`: two patterns for one text are not supported")
    return one


_BOTH: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
    **dict.fromkeys(("additionalProperties", "items", "propertyNames"), _both_schemas),
    "multipleOf": _both_multiples,
    "pattern": _both_patterns,
    "patternProperties": _both_properties,
    "prefixItems": _both_prefixes,
    "properties": _both_properties,
    "required": lambda one, other: [*one, *other],
    "type": _both_types,
    "uniqueItems": lambda one, other: one or other,
}
