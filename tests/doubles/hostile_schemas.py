"""JSON schemas that cost much processor time for their size.

`HOSTILE` has at least one for each keyword of JSON Schema 2020-12; `doubled` returns a schema of twice the size. The
unit tests of the cost of schemas use them, and tests that send them over HTTP. All fit into a body of 1 MiB.
"""

from collections.abc import Callable
from typing import Any

Schema = Any
Make = Callable[[int], Schema]
"""Builds a schema of a relative size: 1 is the original, 2 is twice as large."""


def nested(depth: int, wrap: Callable[[Schema], Schema], leaf: Schema = True) -> Schema:
    """Return `leaf` wrapped `depth` times."""
    for _ in range(depth):
        leaf = wrap(leaf)
    return leaf


def definitions(count: int, write: Callable[[int], Schema]) -> Schema:
    """Return a reference to the first of `count` definitions; `write` builds each from its number."""
    return {"$ref": "#/$defs/0", "$defs": {str(number): write(number) for number in range(count)}}


def references(count: int) -> list[Schema]:
    """Return references to the first `count` definitions."""
    return [{"$ref": f"#/$defs/{number}"} for number in range(count)]


def required(schema: Schema, *names: str) -> Schema:
    """Return an object schema with these required properties, each with `schema`."""
    return {"type": "object", "properties": dict.fromkeys(names, schema), "required": list(names)}


def many(schema: Schema, count: int = 1_000, **fields: Any) -> Schema:
    """Return an array schema with `count` values."""
    return {"type": "array", "items": schema, "minItems": count, **fields}


def names(count: int) -> list[str]:
    """Return `count` distinct property names."""
    return [f"p{number}" for number in range(count)]


_FLOAT = 1.7976931348623157e308
_CLASS = "[" + "".join(chr(code) for code in range(0x100, 0x700, 2)) + "]"

MADE: dict[str, Make] = {
    "$defs: a chain": lambda size: definitions(
        5_000 * size, lambda number: {"$ref": f"#/$defs/{(number + 1) % (5_000 * size)}"}
    ),
    "$defs: each doubles": lambda size: definitions(
        30 * size, lambda number: required({"$ref": f"#/$defs/{(number + 1) % (30 * size)}"}, "a", "b")
    ),
    "$defs: each may be any other": lambda size: definitions(
        30 * size, lambda _: {"anyOf": [required(each, "a") for each in references(30 * size)]}
    ),
    "$defs: each is all others": lambda size: definitions(30 * size, lambda _: {"allOf": references(30 * size)}),
    "$ref: a long pointer": lambda size: {"$ref": "#" + "/a" * 100_000 * size},
    "$ref: many spellings of one": lambda size: {
        "x": [{"required": ["a"] * 30_000 * size}],
        "allOf": [{"$ref": "#/x/" + "0" * (number + 1)} for number in range(200 * size)],
    },
    "$ref: percent and tilde escapes": lambda size: {
        "$defs": {"a/b~": {"allOf": [{"$ref": f"#/%24defs/%61~1b~0{'' if n else '?'}"} for n in range(500 * size)]}},
        "$ref": "#/$defs/a~1b~0",
    },
    "$ref: an alias of itself": lambda size: {
        "x": [required({"anyOf": [{"$ref": "#/x/0"}, {"$ref": "#/%78/0"}] * 20 * size}, "a", "b")],
        "$ref": "#/x/0",
    },
    "$anchor and $dynamicRef": lambda size: {"$anchor": "a", "$dynamicRef": "#a", "x": [{}] * 5_000 * size},
    "type": lambda size: {"allOf": [{"type": ["string", "number"]}] * 3_000 * size},
    "type: a long list": lambda size: {"type": ["null", "string"] * 20_000 * size},
    "enum: many": lambda size: {"enum": [1] * 60_000 * size, "type": "string"},
    "enum: under anyOf": lambda size: {"enum": [1] * 10_000 * size, "anyOf": [{"type": "null"}] * 1_000 * size},
    "enum: two at once": lambda size: {"allOf": [{"enum": [{"a": n} for n in range(2_000 * size)]}] * 20},
    "enum: large values": lambda size: many({"enum": [[[0] * 1_000 * size]]}),
    "const: long": lambda size: many({"const": "x" * 100_000 * size}),
    "const: many words": lambda size: many({"const": "a " * 20_000 * size}),
    "const: deep": lambda size: {"const": nested(200 * size, lambda each: [each], 1)},
    "multipleOf: tiny": lambda size: many({"multipleOf": 5e-324, "minimum": _FLOAT / 2}, 300 * size),
    "multipleOf: huge": lambda size: many({"type": "integer", "multipleOf": _FLOAT, "minimum": 1}, 300 * size),
    "maximum": lambda size: many({"type": "number", "maximum": -5e-324}, 300 * size),
    "exclusiveMaximum": lambda size: many({"exclusiveMaximum": 5e-324, "multipleOf": 3e-300}, 300 * size),
    "minimum: a text": lambda _: {"type": "number", "minimum": "1e30000000"},
    "minimum: many digits": lambda size: {"minimum": 10 ** min(390 * size, 4_000)},
    "exclusiveMinimum": lambda size: many({"exclusiveMinimum": 1e300, "type": "integer"}, 300 * size, uniqueItems=True),
    "floats": lambda size: {"default": [_FLOAT] * 8_000 * size},
    "maxLength": lambda size: many({"type": "string", "maxLength": 10**15 * size}),
    "minLength": lambda size: many({"type": "string", "minLength": 25_000 * size}),
    "pattern: nested repetition": lambda size: {"pattern": "(.?){40}Q" * size},
    "pattern: repeated .*": lambda size: {"pattern": "(.*){30}Q" * size},
    "pattern: doubled repetition": lambda size: {"pattern": "^(a+)+$|(.+)+x$" * size},
    "pattern: deep groups": lambda size: {"pattern": "(" * 15 * size + ".{0,9}" + "){0,9}" * 15 * size},
    "pattern: huge counts": lambda size: {"pattern": f"((a{{{1_000 * size}}}){{1000}}){{1000}}"},
    "pattern: gaps in lengths": lambda size: {"pattern": "^((aa|bbbbb|ccccccc){2,90}){3,50}$", "minLength": 900 * size},
    "pattern: sums of lengths": lambda size: {
        "pattern": "^" + "(a|bb|ccccc|ddddddddddd)" * 40 * size + "$",
        "minLength": 300,
    },
    "pattern: large classes": lambda size: {"pattern": f"^{_CLASS * size}+$"},
    "pattern: many patterns": lambda size: {
        **required(True, *names(300)),
        "properties": {name: {"pattern": f"^[^@\\s]+@{name}\\.[a-z]{{2,}}$"} for name in names(300 * size)},
    },
    "pattern: all differ": lambda size: many({"pattern": "^(a|a|a)*$"}, 500 * size, uniqueItems=True),
    "pattern: an impossible length": lambda size: {
        "pattern": "^(aa)*$",
        "minLength": 999 * size,
        "maxLength": 999 * size,
    },
    "pattern: alternatives": lambda size: {"pattern": "^(" + "a|" * 400 * size + "b)+$", "minLength": 300},
    "pattern: anchors within": lambda size: {"pattern": "(" + "^a|$b|" * 100 * size + "\\b)+x"},
    "pattern: of a long text": lambda size: {"pattern": "^(\\w+\\s?)*$", "minLength": 1_000 * size},
    "format": lambda size: many({"type": "string", "format": "uuid"}, 500 * size),
    "items: deep": lambda size: nested(8 * size, many, {"type": "integer"}),
    "prefixItems": lambda size: {"prefixItems": [{"type": "integer"}] * 5_000 * size, "minItems": 1_000},
    "maxItems": lambda size: {"type": "array", "maxItems": 10**15 * size, "items": {"maxItems": 1, "minItems": 1}},
    "minItems": lambda size: {"type": "array", "minItems": 10**15 * size},
    "uniqueItems": lambda size: many({"type": "integer"}, 500 * size, uniqueItems=True),
    "uniqueItems: of one value": lambda size: many({"enum": ["a"] * 1_000}, 900 * size, uniqueItems=True),
    "uniqueItems: large items": lambda size: many({"const": [0] * 3_000 * size}, uniqueItems=True),
    "contains": lambda size: {"type": "array", "contains": nested(40 * size, lambda each: {"contains": each})},
    "maxContains and minContains": lambda size: {"contains": True, "minContains": 10**9 * size, "maxContains": 10**12},
    "properties: wide": lambda size: {"properties": {name: {"type": "string"} for name in names(10_000 * size)}},
    "properties: impossible": lambda size: {
        "properties": dict.fromkeys(names(10_000 * size), False),
        "minProperties": 1,
    },
    "properties: merged": lambda size: {"allOf": [{"properties": {name: {}}} for name in names(5_000 * size)]},
    "properties: merged again": lambda size: {
        "allOf": [{"$ref": "#/$defs/wide"}] * 200 * size,
        "$defs": {"wide": {"properties": dict.fromkeys(names(2_000 * size), True)}},
    },
    "properties: a long name": lambda size: many(required(True, "x " * 20_000 * size)),
    "required": lambda size: {"required": names(20_000 * size)},
    "required: merged": lambda size: {"allOf": [{"required": [name]} for name in names(5_000 * size)]},
    "required: repeated": lambda size: {"required": ["a"] * 60_000 * size},
    "maxProperties": lambda size: {"properties": {name: {} for name in names(3_000 * size)}, "maxProperties": 10**12},
    "minProperties": lambda size: {"minProperties": 10**15 * size},
    "dependentRequired": lambda size: {**required(True, "a"), "dependentRequired": {"a": names(5_000 * size)}},
    "dependentSchemas": lambda size: {
        **required(True, "a"),
        "dependentSchemas": {name: {"required": ["b"]} for name in names(3_000 * size)},
    },
    "patternProperties": lambda size: {**required(True, "a"), "patternProperties": {"(.*){30}Q" * size: False}},
    "propertyNames": lambda size: {"propertyNames": {"pattern": "(.*){30}Q" * size}, "minProperties": 1},
    "additionalProperties": lambda size: nested(
        40 * size, lambda each: {"additionalProperties": each, "minProperties": 2}
    ),
    "unevaluatedItems": lambda size: {
        "prefixItems": [True],
        "unevaluatedItems": nested(50 * size, lambda each: [each]),
    },
    "unevaluatedProperties": lambda size: {"type": "object", "unevaluatedProperties": {"enum": [1] * 5_000 * size}},
    "allOf: wide": lambda size: {"allOf": [{}] * 10_000 * size},
    "allOf: deep": lambda size: nested(100 * size, lambda each: {"allOf": [{"minLength": 1}, each]}),
    "anyOf: wide": lambda size: {"anyOf": [False] * 60_000 * size},
    "anyOf: deep": lambda size: nested(100 * size, lambda each: {"anyOf": [False, each]}),
    "anyOf: pairs": lambda size: {
        "allOf": [{"anyOf": [{"const": number} for number in range(100)]}] * 50 * size,
        "const": -1,
    },
    "oneOf: products": lambda size: {"allOf": [{"oneOf": [{"type": "string"}] * 50}] * 20 * size, "type": "null"},
    "not": lambda size: {"not": nested(100 * size, lambda each: {"not": each})},
    "if, then and else": lambda size: {"if": {"enum": [1] * 5_000 * size}, "then": False, "else": {"pattern": "(.*)*"}},
    "deep objects": lambda size: nested(100 * size, lambda each: required(each, "a")),
    "content": lambda size: {"contentSchema": nested(100 * size, lambda each: {"anyOf": [each]}), "type": "string"},
    "annotations": lambda size: {
        "description": "x" * 250_000 * size,
        "examples": [[]] * 1_000 * size,
        "type": "string",
    },
}

HOSTILE: dict[str, Schema] = {name: make(1) for name, make in MADE.items()}


def doubled(name: str) -> Schema:
    """Return the hostile schema of this name at twice its size."""
    return MADE[name](2)
