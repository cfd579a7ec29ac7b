"""A value that satisfies a JSON schema, always the same for the same schema. Pure.

What the simulator fills tool calls and structured output with. Understands what providers accept there and then some:
types, enum, const, properties and required, items and prefixItems, the bounds of numbers, texts, arrays and objects,
the common formats, allOf, anyOf, oneOf, and `$ref` within the schema. Source: JSON Schema, draft 2020-12, validation.
Other keywords are ignored. A schema that nothing satisfies, or whose `pattern` this does not know, raises
`InvalidRequest`; so does one that costs too much: callers write it, and everybody else waits for it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from tokenfall.engines.schema_scalars import fits, number, text, unsatisfiable
from tokenfall.errors import InvalidRequest

MAX_DEPTH = 32
MAX_ITEMS = 1_000
MOST = 4_000
"""So much a value may cost: about a part of the schema looked at, or 16 bytes said. 5 us each, measured."""

Schema = dict[str, Any] | bool
_APPLIED = ("$ref", "allOf", "anyOf", "oneOf")


def instance(schema: Schema) -> Any:  # noqa: ANN401 - a JSON value
    """A JSON value for `schema`. Optional properties are left out, but for an object that would else be empty."""
    try:
        return _Writer(schema).value(schema, _Place())
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError):
        raise unsatisfiable("it is not built as JSON Schema asks") from None


class _TooMuch(InvalidRequest):
    """Looking for another way would cost more still."""


class _Place(msgspec.Struct, frozen=True):
    """Where a value stands: below which name, how deep, and inside of which references."""

    name: str = ""
    depth: int = 0
    inside: frozenset[str] = frozenset()

    def below(self, name: str) -> "_Place":
        return _Place(name, self.depth + 1, self.inside)


class _Flat(msgspec.Struct):
    """A schema without its references and allOf. `groups` are alternatives, of each of which one must hold."""

    plain: dict[str, Any]
    groups: list[list[Schema]]
    inside: frozenset[str]


class _Writer:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = MOST
        self._variant = 0
        """Which of several values that must differ is written."""

    def value(self, schema: Schema, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        if place.depth > MAX_DEPTH:
            raise unsatisfiable("it is nested too deeply")
        return self._written(_Flat({}, [], place.inside), schema, place=place)

    def _written(self, flat: _Flat, schema: Schema, *, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        """A value for `schema` and `flat` at once: the first of the alternatives that can be written."""
        flat = self._flattened(flat, schema)
        if not flat.groups:
            return self._plain(flat.plain, _Place(place.name, place.depth, flat.inside))
        alternatives, *groups = flat.groups
        rest = _Flat(flat.plain, groups, flat.inside)
        for alternative in alternatives:
            value = self._tried(partial(self._written, rest, alternative, place=place))
            if value is not _NONE:
                return value
        raise unsatisfiable("none of its alternatives allows a value")

    def _flattened(self, flat: _Flat, schema: Schema) -> _Flat:
        plain, groups, inside = flat.plain, list(flat.groups), flat.inside
        open_parts = [schema]
        while open_parts:
            part = open_parts.pop()
            self._spend(1)
            if isinstance(part, bool):
                if not part:
                    raise unsatisfiable("false allows no value")
                continue
            self._spend((len(plain) + len(part) + len(plain.get("properties", ()))) // 16)
            if "$ref" in part:
                # Whatever satisfies a reference inside of itself would have satisfied it without: so the smallest
                # value never comes back to where it is, and that is the way out of recursion.
                if part["$ref"] in inside:
                    raise unsatisfiable("it refers to itself without an end")
                inside |= {part["$ref"]}
                open_parts.append(self._referred(part["$ref"]))
            open_parts += reversed(part.get("allOf") or ())
            groups += [part[key] for key in ("anyOf", "oneOf") if part.get(key)]
            plain = _merged(plain, {key: value for key, value in part.items() if key not in _APPLIED})
        return _Flat(plain, groups, inside)

    def _plain(self, schema: dict[str, Any], place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        if "enum" in schema:
            fitting = [value for value in schema["enum"] if fits(value, schema)]
            if not fitting:
                raise unsatisfiable("none of its enum is allowed")
            return self._said(fitting[self._variant % len(fitting)])
        for kind in _kinds_of(schema):
            value = self._tried(partial(self._of_kind, kind, schema, place=place))
            if value is not _NONE:
                return value
        return self._of_kind(_kinds_of(schema)[0], schema, place=place)

    def _of_kind(self, kind: str, schema: dict[str, Any], *, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        if kind == "object":
            return self._object(schema, place)
        if kind == "array":
            return self._array(schema, place)
        if kind == "string":
            return self._said(text(schema, place.name, variant=self._variant))
        if kind in ("integer", "number"):
            return number(schema, whole=kind == "integer", variant=self._variant)
        if kind in ("boolean", "null"):
            return self._variant % 2 == 0 if kind == "boolean" else None
        raise unsatisfiable(f"the type {kind[:80]!r} is none")

    def _object(self, schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties") or {}
        required = dict.fromkeys(schema.get("required") or ())
        if not all(isinstance(name, str) for name in required):
            raise unsatisfiable("required are names")
        extra: Schema = schema.get("additionalProperties", True)
        names = [name for name in properties if name in required]
        names += [name for name in required if name not in properties]
        written = {name: self.value(properties.get(name, extra), place.below(name)) for name in names}
        least, most = int(schema.get("minProperties", 0)), schema.get("maxProperties", len(properties) + MAX_ITEMS)
        wanted = max(least, min(1, most))
        for name, optional in properties.items():
            if len(written) < wanted and name not in written:
                value = self._tried(partial(self.value, optional, place.below(name)))
                written |= {} if value is _NONE else {name: value}
        for count in range(least - len(written)):
            self._spend(1)
            name = next(name for name in (f"property_{count}", f"property__{count}") if name not in properties)
            written[name] = self.value(extra, place.below(""))
        if len(written) > most:
            raise unsatisfiable("it requires more properties than it allows")
        return written

    def _array(self, schema: dict[str, Any], place: _Place) -> list[Any]:
        first: list[Schema] = schema.get("prefixItems") or []
        least, most = int(schema.get("minItems", 0)), min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS)
        if least > most:
            raise unsatisfiable(f"an array of {least} items is too long")
        rest: Schema = schema.get("items", True)
        schemas = [*first[: int(most)], *[rest] * (least - len(first))]
        if not schemas and most >= 1:
            value = self._tried(partial(self.value, rest, place.below(place.name)))
            return [] if value is _NONE else [value]
        if schema.get("uniqueItems"):
            return self._distinct(schemas, place)
        return [self.value(each, place.below(place.name)) for each in schemas]

    def _distinct(self, schemas: list[Schema], place: _Place) -> list[Any]:
        items, before = [], self._variant
        for nth, schema in enumerate(schemas):
            self._variant = before + nth
            items.append(self.value(schema, place.below(place.name)))
        self._variant = before
        if len(set(map(msgspec.json.encode, items))) < len(items):
            raise unsatisfiable("its items cannot all differ")
        return items

    def _referred(self, reference: str) -> Schema:
        found: Any = self._root
        if reference != "#" and not reference.startswith("#/"):
            raise unsatisfiable("a $ref must stay within the schema, and be a path in it")
        for part in reference[1:].split("/")[1:]:
            self._spend(1)
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                raise unsatisfiable(f"{reference[:80]!r} leads nowhere")
        if not isinstance(found, (dict, bool)):
            raise unsatisfiable(f"{reference[:80]!r} is no schema")
        return found

    def _tried(self, write: Callable[[], Any]) -> Any:  # noqa: ANN401 - a JSON value
        """What `write` writes, `_NONE` where it cannot."""
        variant = self._variant
        try:
            return write()
        except _TooMuch:
            raise
        except InvalidRequest:
            self._variant = variant
            return _NONE

    def _said(self, value: Any) -> Any:  # noqa: ANN401 - a JSON value
        """`value`, paid for: a small schema must not say much by referring to it often."""
        self._spend(len(msgspec.json.encode(value)) // 16)
        return value

    def _spend(self, cost: int) -> None:
        self._left -= 1 + cost
        if self._left < 0:
            raise _TooMuch("the simulator cannot satisfy this JSON schema: it takes too much to find a value")


_NONE = object()


def _kinds_of(schema: dict[str, Any]) -> list[str]:
    """The types that a value may have, in the order in which they are tried."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return sorted(map(str, kinds), key="null".__eq__) or ["none at all"]
    if kinds is not None:
        return [str(kinds)]
    for kind, keys in (
        ("object", ("properties", "required", "additionalProperties", "minProperties")),
        ("array", ("items", "prefixItems", "minItems", "maxItems")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    ):
        if any(key in schema for key in keys):
            return [kind]
    return ["string"]


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both at once."""
    if "const" in other:
        other = {**other, "enum": [other["const"]]}
    merged = {**one, **other}
    for key in one.keys() & other.keys() & _BOTH.keys():
        merged[key] = _BOTH[key](one[key], other[key])
    return merged


def _both(one: Schema, other: Schema) -> Schema:
    return {"allOf": [one, other]}


def _both_properties(one: dict[str, Schema], other: dict[str, Schema]) -> dict[str, Schema]:
    return {**one, **{name: _both(one[name], other[name]) if name in one else other[name] for name in other}}


def _both_enums(one: list[Any], other: list[Any]) -> list[Any]:
    known = set(map(msgspec.json.encode, other))
    return [value for value in one if msgspec.json.encode(value) in known]


def _both_types(one: str | list[str], other: str | list[str]) -> list[str]:
    ones, others = ([kinds] if isinstance(kinds, str) else kinds for kinds in (one, other))
    kinds = [kind for kind in ones if kind in others or (kind == "integer" and "number" in others)]
    return kinds + ["integer" for kind in others if kind == "integer" and "number" in ones and "integer" not in kinds]


_BOTH: dict[str, Callable[[Any, Any], Any]] = {
    "minimum": max, "exclusiveMinimum": max, "minLength": max, "minItems": max, "minProperties": max,
    "maximum": min, "exclusiveMaximum": min, "maxLength": min, "maxItems": min, "maxProperties": min,
    "properties": _both_properties, "additionalProperties": _both, "items": _both, "enum": _both_enums,
    "required": lambda one, other: [*one, *other], "type": _both_types,
    "uniqueItems": lambda one, other: one or other,
}  # fmt: skip
