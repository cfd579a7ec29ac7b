"""Generates a value that satisfies a JSON schema; deterministic. Pure.

The simulator uses it for arguments of tool calls and for structured output. Supported: type, enum, const, properties
and required, items and prefixItems, bounds of numbers, strings, arrays and objects, `pattern`, the common formats,
allOf, anyOf, oneOf, and `$ref` within the schema. Source: JSON Schema, draft 2020-12, validation. Other keywords are
ignored.

Raises `InvalidRequest` for a schema that is malformed, unsatisfiable, or needs more than the request's `Budget`. An
unsatisfiable part raises `Unsatisfiable`, and the next alternative is tried.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from tokenfall.simulator.schema.budget import Budget, Unsatisfiable, malformed, unsatisfiable
from tokenfall.simulator.schema.keywords import Schema, check_keywords, count_of, merge_schemas, types_of
from tokenfall.simulator.schema.references import resolve_reference
from tokenfall.simulator.schema.scalars import Scalars, fits

MAX_DEPTH = 32
MAX_CHOICES = 100
"""Nesting depth of alternatives, from the root value down to one of its parts."""

MAX_ITEMS = 1_000
_APPLIED = frozenset({"$ref", "allOf", "anyOf", "oneOf"})


def instance(schema: Schema, budget: Budget | None = None) -> Any:  # noqa: ANN401 - a JSON value
    """A JSON value for `schema`. Optional properties are omitted, except for one in an otherwise empty object."""
    return _Writer(schema, budget or Budget()).value(schema, _Place())


class _Place(msgspec.Struct, frozen=True):
    """Position of a value: its property `name`, depth, and the ids (identity) of the `$ref` targets it is inside of."""

    name: str = ""
    keyword: str = "the schema"
    depth: int = 0
    choices: int = 0
    inside: frozenset[int] = frozenset()

    def below(self, name: str, keyword: str) -> "_Place":
        return _Place(name, keyword, self.depth + 1, self.choices, self.inside)


class _Flat(msgspec.Struct):
    """A schema with `$ref` and `allOf` resolved. Of each of `groups`, one alternative must hold."""

    plain: dict[str, Any]
    groups: list[tuple[str, list[Schema]]]
    inside: frozenset[int]


class _Writer:
    def __init__(self, root: Schema, budget: Budget) -> None:
        self._root = root
        self._budget = budget
        self._scalars = Scalars(budget)
        self._variant = 0
        """Selects among the values of a schema, for items that must differ."""

    def value(self, schema: Schema, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        if place.depth > MAX_DEPTH:
            raise unsatisfiable(f"`{place.keyword}`: values are nested more than {MAX_DEPTH} deep")
        return self._value(_Flat({}, [], place.inside), schema, place=place)

    def _value(self, flat: _Flat, schema: Schema, *, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        """A value that satisfies both `schema` and `flat`, from the first satisfiable alternative."""
        flat = self._flattened(flat, schema, keyword=place.keyword)
        place = _Place(place.name, place.keyword, place.depth, place.choices, flat.inside)
        if not flat.groups:
            return self._plain(flat.plain, place)
        (keyword, alternatives), *groups = flat.groups
        if place.choices >= MAX_CHOICES:
            raise unsatisfiable(f"`{keyword}`: alternatives are nested more than {MAX_CHOICES} deep")
        remaining = _Flat(flat.plain, groups, flat.inside)
        place = _Place(place.name, keyword, place.depth, place.choices + 1, flat.inside)
        return self._first((partial(self._value, remaining, each, place=place) for each in alternatives), keyword)

    def _flattened(self, flat: _Flat, schema: Schema, *, keyword: str) -> _Flat:
        plain, groups, inside = flat.plain, flat.groups, flat.inside
        parts = [(keyword, schema)]
        while parts:
            keyword, subschema = parts.pop()
            self._budget.spend(4 + len(inside) // 16, keyword)
            if subschema is True:
                continue
            if subschema is False:
                raise unsatisfiable(f"`{keyword}`: false allows no value")
            if not isinstance(subschema, dict):
                raise malformed(keyword, "a schema: an object, true or false")
            part = check_keywords(subschema, self._budget)
            if "$ref" in part:
                target = resolve_reference(self._root, part["$ref"], budget=self._budget)
                if isinstance(target, dict):
                    # A value nested in a value of the same schema would satisfy that schema by itself. So the smallest
                    # value is never recursive, and recursion can be refused. Schemas are compared by identity, because
                    # a client can write a reference to the same schema in many ways.
                    if id(target) in inside:
                        raise unsatisfiable("`$ref`: the recursion has no end")
                    inside |= {id(target)}
                parts.append(("$ref", target))
            if not _APPLIED.isdisjoint(part):
                parts += self._parts(part)
                groups = groups + [(key, part[key]) for key in ("anyOf", "oneOf") if part.get(key)]
                self._budget.spend(len(groups), "anyOf")
                part = {key: value for key, value in part.items() if key not in _APPLIED}
            plain = merge_schemas(plain, part, budget=self._budget) if plain else part
        return _Flat(plain, groups, inside)

    def _parts(self, part: dict[str, Any]) -> list[tuple[str, Schema]]:
        """The parts of `allOf` in reverse order, as they are popped from a stack."""
        parts = part.get("allOf", [])
        self._budget.spend(len(parts) // 4, "allOf")
        return [("allOf", each) for each in reversed(parts)]

    def _first(self, writes: Iterable[Callable[[], Any]], keyword: str) -> Any:  # noqa: ANN401 - a JSON value
        """The value of the first of `writes` that is satisfiable. If none is, raises the error of the first."""
        refusal = ""
        variant = self._variant
        for write in writes:
            self._budget.spend(2, keyword)
            try:
                return write()
            except Unsatisfiable as error:
                refusal = refusal or error.message
                self._variant = variant
        raise Unsatisfiable(refusal)

    def _plain(self, schema: dict[str, Any], place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        if "enum" in schema:
            return self._enum_value(schema)
        kinds = types_of(schema)
        if len(kinds) == 1:
            return self._of_type(kinds[0], schema, place=place)
        return self._first((partial(self._of_type, kind, schema, place=place) for kind in kinds), "type")

    def _enum_value(self, schema: dict[str, Any]) -> Any:  # noqa: ANN401 - a JSON value
        fitting: list[Any] = []
        for value in schema["enum"]:
            self._budget.spend(1, "enum")
            if fits(value, schema):
                fitting.append(value)
                if len(fitting) > self._variant:
                    break
        if not fitting:
            raise unsatisfiable("`enum`: the schema allows none of its values")
        chosen = fitting[self._variant % len(fitting)]
        if isinstance(chosen, str):
            return self._budget.spend_text(chosen, "enum")
        self._budget.spend_json(msgspec.json.encode(chosen), "enum")
        return chosen

    def _of_type(self, kind: str, schema: dict[str, Any], *, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        if kind == "object":
            return self._object(schema, place)
        if kind == "array":
            return self._array(schema, place)
        if kind == "string":
            return self._scalars.text(schema, place.name, variant=self._variant)
        if kind == "boolean":
            return self._variant % 2 == 0
        return (
            None if kind == "null" else self._scalars.number(schema, integer=kind == "integer", variant=self._variant)
        )

    def _object(self, schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties", {})
        least = count_of(schema, "minProperties", default=0)
        most = count_of(schema, "maxProperties", default=len(properties) + MAX_ITEMS)
        extra: Schema = schema.get("additionalProperties", True)
        members: dict[str, Any] = {}
        for name in self._required(schema):
            keyword = "properties" if name in properties else "additionalProperties"
            members[name] = self._member(name, properties.get(name, extra), place=place.below(name, keyword))
        wanted = max(least, min(1, most))
        for name, optional in properties.items():
            if len(members) >= wanted:
                break
            if name not in members:
                value = self._value_or_none(
                    partial(self._member, name, optional, place=place.below(name, "properties"))
                )
                members |= {} if value is _NONE else {name: value}
        for count in range(least - len(members)):
            name = next(name for name in (f"property_{count}", f"property__{count}") if name not in properties)
            members[name] = self._member(name, extra, place=place.below("", "minProperties"))
        if len(members) > most:
            raise unsatisfiable(f"`maxProperties`: more than {most} properties are required")
        return members

    def _required(self, schema: dict[str, Any]) -> list[str]:
        """The names of required properties; those in `properties` first, in its order."""
        names = schema.get("required", [])
        properties = schema.get("properties", {})
        self._budget.spend((len(names) + len(properties)) // 8, "required")
        if not all(isinstance(name, str) for name in names):
            raise malformed("required", "a list of names")
        required = dict.fromkeys(names)
        if not required:
            return []
        return [name for name in properties if name in required] + [name for name in required if name not in properties]

    def _member(self, name: str, schema: Schema, *, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        self._budget.spend_text(name, place.keyword)
        return self.value(schema, place)

    def _array(self, schema: dict[str, Any], place: _Place) -> list[Any]:
        first: list[Schema] = schema.get("prefixItems", [])
        least = count_of(schema, "minItems", default=0)
        most = min(count_of(schema, "maxItems", default=MAX_ITEMS), MAX_ITEMS)
        if least > most:
            raise unsatisfiable(f"`minItems`: an array may have at most {most} items")
        items: Schema = schema.get("items", True)
        inner = place.below(place.name, "items")
        schemas = [*first[:most], *[items] * (least - len(first))]
        if not schemas and most >= 1:
            value = self._value_or_none(partial(self.value, items, inner))
            return [] if value is _NONE else [value]
        if schema.get("uniqueItems"):
            return self._distinct_values(schemas, inner)
        return [self.value(each, inner) for each in schemas]

    def _distinct_values(self, schemas: list[Schema], place: _Place) -> list[Any]:
        """Values that are all different: a duplicate is replaced by the next variant."""
        items: list[Any] = []
        seen: set[bytes] = set()
        before = self._variant
        variants = iter(range(before, before + 2 * len(schemas) + 8))
        for schema in schemas:
            for variant in variants:
                self._variant = variant
                item = self.value(schema, place)
                encoded = msgspec.json.encode(item, order="sorted")
                self._budget.spend(1 + len(encoded) // 64, "uniqueItems")
                if encoded not in seen:
                    break
            else:
                raise unsatisfiable("`uniqueItems`: its items cannot all differ")
            seen.add(encoded)
            items.append(item)
        self._variant = before
        return items

    def _value_or_none(self, write: Callable[[], Any]) -> Any:  # noqa: ANN401 - a JSON value
        """The value of `write`, `_NONE` if it is unsatisfiable."""
        try:
            return self._first((write,), "properties")
        except Unsatisfiable:
            return _NONE


_NONE = object()
