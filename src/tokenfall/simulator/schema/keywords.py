"""The keywords of a JSON schema: which values each takes, and what two schemas at once say. Pure.

Source: JSON Schema, draft 2020-12, validation and applicator vocabularies. null stands for an absent keyword, as some
clients write it, save for `const`.
"""

from collections.abc import Callable
from math import isfinite
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
_A_COUNT = "a whole number, 0 or more"
_A_TYPE = f"one of {', '.join(TYPES)}, or a list of them"

_ACCEPTED: dict[str, tuple[frozenset[type], str]] = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), (frozenset({list}), "a list of schemas")),
    **dict.fromkeys(_SCHEMA_KEYWORDS, (frozenset({dict, bool}), "a schema: an object, true or false")),
    **dict.fromkeys(
        ("$defs", "dependentSchemas", "patternProperties", "properties"),
        (frozenset({dict}), "an object whose members are schemas"),
    ),
    **dict.fromkeys(_NUMBERS, (frozenset({int, float}), "a number")),
    **dict.fromkeys(_COUNTS, (frozenset({int, float}), _A_COUNT)),
    **dict.fromkeys(("$ref", "format", "pattern"), (frozenset({str}), "a string")),
    "dependentRequired": (frozenset({dict}), "an object whose members are lists of names"),
    "enum": (frozenset({list}), "a list of values"),
    "required": (frozenset({list}), "a list of names"),
    "type": (frozenset({str, list}), _A_TYPE),
    "uniqueItems": (frozenset({bool}), "true or false"),
}


def checked(part: dict[str, Any], budget: Budget) -> dict[str, Any]:
    """`part` without its absent keywords, `const` as an `enum`. Raises `InvalidRequest` for a value of a wrong type."""
    budget.spend(len(part) // 4, "properties of a schema")
    if None in part.values():
        part = {key: value for key, value in part.items() if value is not None or key == "const"}
    for key, value in part.items():
        accepted = _ACCEPTED.get(key)
        if accepted is not None and type(value) not in accepted[0]:
            raise malformed(key, accepted[1])
    if "type" in part:
        _check_type(part["type"])
    if "const" in part:
        part = {**part, "enum": [part["const"]]}
    return part


def _check_type(kinds: str | list[Any]) -> None:
    listed = [kinds] if isinstance(kinds, str) else kinds
    if not 0 < len(listed) <= len(TYPES) or not all(kind in TYPES for kind in listed):
        raise malformed("type", _A_TYPE)


def count_of(schema: dict[str, Any], keyword: str, *, default: int) -> int:
    """The value of a keyword that counts. Raises `InvalidRequest`."""
    value = schema.get(keyword, default)
    if value < 0 or not (isinstance(value, int) or value.is_integer()):
        raise malformed(keyword, _A_COUNT)
    return int(value)


def number_of(schema: dict[str, Any], keyword: str) -> int | float | None:
    """The value of a keyword that is a number, None where it is absent. Raises `InvalidRequest` for a huge one."""
    value: int | float | None = schema.get(keyword)
    if (isinstance(value, int) and value.bit_length() > 1023) or (isinstance(value, float) and not isfinite(value)):
        raise malformed(keyword, "a number of less than 1e308")
    return value


def types_of(schema: dict[str, Any]) -> list[str]:
    """The types that a value may have, in the order in which they are tried."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return sorted(kinds, key="null".__eq__)
    if kinds is not None:
        return [kinds]
    for kind, keys in (
        ("object", ("properties", "required", "additionalProperties", "minProperties")),
        ("array", ("items", "prefixItems", "minItems", "maxItems")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    ):
        if any(key in schema for key in keys):
            return [kind]
    return ["string"]


def merged(one: dict[str, Any], other: dict[str, Any], *, budget: Budget) -> dict[str, Any]:
    """Both at once."""
    budget.spend((len(one) + len(other)) // 16, "allOf")
    both = {**one, **other}
    for key in one.keys() & other.keys() & _BOTH.keys():
        ours, theirs = one[key], other[key]
        if isinstance(ours, (dict, list)) and isinstance(theirs, (dict, list)):
            budget.spend(len(ours) // 16 + len(theirs) // 4, key)
        both[key] = _BOTH[key](ours, theirs)
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


def _both_patterns(one: str, other: str) -> str:
    if one != other:
        raise unsatisfiable("`pattern`: no text is made for two patterns at once")
    return one


_BOTH: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
    **dict.fromkeys(("additionalProperties", "items"), _both_schemas),
    "pattern": _both_patterns,
    "prefixItems": _both_prefixes,
    "properties": _both_properties,
    "required": lambda one, other: [*one, *other],
    "type": _both_types,
    "uniqueItems": lambda one, other: one or other,
}
