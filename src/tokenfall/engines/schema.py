"""A value that satisfies a JSON schema, always the same for the same schema. Pure.

What the simulator fills tool calls and structured output with. Understands what providers accept there and then some:
types, enum, const, default, properties and required, items and prefixItems, the bounds of numbers, texts and arrays,
the common formats, allOf, anyOf, oneOf, and `$ref` within the schema. Source: JSON Schema, draft 2020-12, validation.
A schema that nothing satisfies, or whose `pattern` this does not know, raises `InvalidRequest`.
"""

import re
from math import ceil, floor
from typing import Any

from tokenfall.errors import InvalidRequest

MAX_DEPTH = 32
MAX_ITEMS = 1_000
WORDS = ["large", "language", "models", "let", "tokens", "fall", "one", "after", "another"]

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "reader@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
}
_PATTERN_CANDIDATES = (
    *WORDS, "A", "a", "1", "12", "123", "1234", "12345", "ABC", "ABC-123", "a1", "A1", "a-b", "a_b", "a.b", "v1",
    "1.0", "1.0.0", "#ffffff", "+15555550100", "en", "EN", "en-US", "EUR", *_FORMATS.values(), "",
)  # fmt: skip

Schema = dict[str, Any] | bool


def instance(schema: Schema) -> Any:  # noqa: ANN401 - a JSON value
    """A JSON value for `schema`. Optional properties are left out, but for an object that would else be empty."""
    try:
        return _Writer(schema).value(schema, name="", depth=0)
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError):
        raise _unsatisfiable("it is not built as JSON Schema asks") from None


class _Writer:
    def __init__(self, root: Schema) -> None:
        self._root = root

    def value(self, schema: Schema, name: str, *, depth: int) -> Any:  # noqa: ANN401 - a JSON value
        if depth > MAX_DEPTH:
            raise _unsatisfiable("it refers to itself without an end")
        if isinstance(schema, bool):
            if not schema:
                raise _unsatisfiable("false allows no value")
            return WORDS[0]
        schema = self._whole(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        kind = _type_of(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth=depth)
        return _scalar(kind, schema, name=name)

    def _whole(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """`schema` with its references and alternatives put in."""
        for _ in range(MAX_DEPTH):
            if "$ref" in schema:
                schema = _merged(self._referred(schema["$ref"]), _without(schema, "$ref"))
            elif schema.get("allOf"):
                parts = schema["allOf"]
                schema = _without(schema, "allOf")
                for part in parts:
                    schema = _merged(schema, part)
            elif schema.get("anyOf") or schema.get("oneOf"):
                key = "anyOf" if schema.get("anyOf") else "oneOf"
                schema = _merged(_without(schema, key), self._easiest(schema[key], depth))
            else:
                return schema
        raise _unsatisfiable("it refers to itself without an end")

    def _easiest(self, alternatives: list[Schema], depth: int) -> Schema:
        """The first alternative that can be written: of a recursive one, that is the way out."""
        for alternative in alternatives:
            try:
                self.value(alternative, "", depth=depth + MAX_DEPTH // 2)
            except InvalidRequest:
                continue
            return alternative
        raise _unsatisfiable("none of its alternatives allows a value")

    def _referred(self, reference: str) -> Schema:
        found: Any = self._root
        if not str(reference).startswith("#"):
            raise _unsatisfiable("a $ref must stay within the schema")
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise _unsatisfiable(f"{reference[:80]!r} leads nowhere")
            found = found[key]
        if not isinstance(found, (dict, bool)):
            raise _unsatisfiable(f"{reference[:80]!r} is no schema")
        return found

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties") or {}
        required = schema.get("required") or []
        names = [name for name in properties if name in required] or list(properties)[:1]
        names += [name for name in required if name not in properties]
        extra = schema.get("additionalProperties", True)
        written = {
            name: self.value(properties.get(name, extra if extra is not True else True), name, depth=depth + 1)
            for name in names
        }
        for number in range(len(written), schema.get("minProperties", 0)):
            written[f"property_{number}"] = self.value(extra, "", depth=depth + 1)
        return written

    def _array(self, schema: dict[str, Any], name: str, *, depth: int) -> list[Any]:
        first: list[Schema] = schema.get("prefixItems") or []
        least = max(schema.get("minItems", 0), len(first), 1 if schema.get("maxItems", 1) else 0)
        if least > min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS):
            raise _unsatisfiable(f"an array of {least} items is too long")
        rest = schema.get("items", True)
        items = [self.value(each, name, depth=depth + 1) for each in first]
        if len(items) < least:
            items += [self.value(rest, name, depth=depth + 1)] * (least - len(items))
        return _distinct(items, rest) if schema.get("uniqueItems") else items


def _type_of(schema: dict[str, Any]) -> str:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return next((str(kind) for kind in kinds if kind != "null"), "null")
    if kinds is not None:
        return str(kinds)
    for kind, keys in (
        ("object", ("properties", "required", "additionalProperties", "minProperties")),
        ("array", ("items", "prefixItems", "minItems", "maxItems")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    ):
        if any(key in schema for key in keys):
            return kind
    return "string"


def _scalar(kind: str, schema: dict[str, Any], *, name: str) -> str | float | bool | None:
    if kind == "string":
        return _text(schema, name)
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    raise _unsatisfiable(f"the type {kind[:80]!r} is none")


def _text(schema: dict[str, Any], name: str) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 100_000)
    if least > most:
        raise _unsatisfiable(f"a text of {least} characters is too long")
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if isinstance(schema.get("pattern"), str):
        return _matching(schema["pattern"], least, most=most)
    words = " ".join(WORDS[:3]) if not name else f"some {name.replace('_', ' ')}"
    while len(words) < least:
        words += f" {words}"
    return words[: max(least, min(most, len(words)))]


def _matching(pattern: str, least: int, *, most: int) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error:
        raise _unsatisfiable(f"the pattern {pattern[:80]!r} cannot be read") from None
    for candidate in _PATTERN_CANDIDATES:
        if least <= len(candidate) <= most and compiled.search(candidate):
            return candidate
    raise _unsatisfiable(f"the pattern {pattern[:80]!r} is beyond the simulator")


def _number(schema: dict[str, Any], *, whole: bool) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    step = schema.get("multipleOf") or (1 if whole else None)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if step is None:
        return _between(low, high, above=above, below=below)
    if low is None and above is None:
        bound = below if below is not None and (high is None or below <= high) else high
        wanted = 1 if bound is None or bound >= 1 else floor(bound / step) * step
        if below is not None and wanted >= below:
            wanted -= step
        wanted = wanted if wanted % step == 0 else step if bound is None or step <= bound else 0
    else:
        floor_at = max(bound for bound in (low, above) if bound is not None)
        wanted = ceil(floor_at / step) * step
        if above is not None and wanted <= above:
            wanted += step
    if (high is not None and wanted > high) or (below is not None and wanted >= below):
        raise _unsatisfiable("no number is within its bounds")
    return int(wanted) if whole or wanted == int(wanted) else wanted


def _between(low: float | None, high: float | None, *, above: float | None, below: float | None) -> float:
    lowest = max((bound for bound in (low, above) if bound is not None), default=None)
    highest = min((bound for bound in (high, below) if bound is not None), default=None)
    if lowest is None and highest is None:
        return 1.5
    if highest is None:
        return float(lowest or 0) + 0.5
    if lowest is None:
        return highest - 0.5
    if lowest > highest or (lowest == highest and (lowest in {above, below})):
        raise _unsatisfiable("no number is within its bounds")
    return (lowest + highest) / 2


def _distinct(items: list[Any], schema: Schema) -> list[Any]:
    """`items`, made to differ where they are texts, numbers or of an enum."""
    choices = schema.get("enum") if isinstance(schema, dict) else None
    if choices:
        if len(choices) < len(items):
            raise _unsatisfiable("its items cannot all differ")
        return list(choices[: len(items)])
    return [
        f"{item} {number}" if isinstance(item, str) and number else item + number if _is_number(item) else item
        for number, item in enumerate(items)
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _without(schema: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != key}


def _merged(one: Schema, other: Schema) -> dict[str, Any]:
    """Both at once, as far as the simulator needs it."""
    if one is False or other is False:
        raise _unsatisfiable("false allows no value")
    one = {} if one is True else one
    other = {} if other is True else other
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *(name for name in other["required"] if name not in one["required"])]
    for key, pick in (("minimum", max), ("maximum", min), ("minLength", max), ("maxLength", min)):
        if key in one and key in other:
            merged[key] = pick(one[key], other[key])
    return merged


def _unsatisfiable(why: str) -> InvalidRequest:
    return InvalidRequest(f"the simulator cannot satisfy this JSON schema: {why}")
