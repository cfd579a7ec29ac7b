"""Generates a value that satisfies a JSON schema; deterministic. Pure.

The simulator uses it for arguments of tool calls and for structured output. All keywords of JSON Schema, draft 2020-12,
validation, are supported except `$dynamicRef`, and `$ref` only within the schema; so are tuples, `dependencies` and
boolean exclusive bounds of earlier drafts. Values are generated from the keywords of a schema; those of
`steering.VALIDATED` only select among alternatives, and the value is validated against them.

Raises `InvalidRequest` for a schema that is malformed, unsatisfiable, or needs more than the request's `Budget`. An
unsatisfiable part raises `Unsatisfiable`, and the next alternative is tried.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from tokenfall.simulator.schema.budget import MAX_STEPS, Budget, Unsatisfiable, malformed, unsatisfiable
from tokenfall.simulator.schema.flattening import Condition, FlatSchema, Flattener
from tokenfall.simulator.schema.keywords import Schema, count_of, types_of
from tokenfall.simulator.schema.scalars import FITTED, Scalars, fits
from tokenfall.simulator.schema.steering import alternatives
from tokenfall.simulator.schema.validation import Validator

MAX_DEPTH = 32
MAX_CHOICES = 100
"""Nesting depth of alternatives, from the root value down to one of its parts."""

MAX_ITEMS = 1_000
VARIANTS = 3
"""How many values of a schema are tried if the first is not valid."""


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


class _Writer:
    def __init__(self, root: Schema, budget: Budget) -> None:
        self._budget = budget
        self._flattener = Flattener(root, budget)
        self._scalars = Scalars(budget)
        self._validator = Validator(root, budget, parse_pattern=self._scalars.pattern)
        self._variant = 0
        """Selects among the values of a schema, for items that must differ."""

    def value(self, schema: Schema, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        if place.depth > MAX_DEPTH:
            raise unsatisfiable(f"`{place.keyword}`: values are nested more than {MAX_DEPTH} deep")
        return self._value(FlatSchema({}, [], [], place.inside, place.inside), schema, place=place, above=place.inside)

    def _value(self, flat: FlatSchema, schema: Schema, *, place: _Place, above: frozenset[int]) -> Any:  # noqa: ANN401 - a JSON value
        """A value that satisfies both `schema` and `flat`, from the first satisfiable alternative.

        `above` are the `$ref` targets that contain `schema`.
        """
        flat = self._flattener.flattened(flat, schema, keyword=place.keyword, above=above)
        place = _Place(place.name, place.keyword, place.depth, place.choices, flat.inside)
        return self._grouped(flat, place) if flat.groups else self._valid(flat, place)

    def _grouped(self, flat: FlatSchema, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        """A value that satisfies an alternative of each group."""
        (keyword, choices, above), *groups = flat.groups
        if place.choices >= MAX_CHOICES:
            raise unsatisfiable(f"`{keyword}`: alternatives are nested more than {MAX_CHOICES} deep")
        remaining = FlatSchema(flat.plain, groups, flat.conditions, flat.inside, flat.outer)
        place = _Place(place.name, keyword, place.depth, place.choices + 1, flat.inside)
        writes = (partial(self._value, remaining, each, place=place, above=above) for each in choices)
        return self._first(writes, keyword)

    def _valid(self, flat: FlatSchema, place: _Place) -> Any:  # noqa: ANN401 - a JSON value
        """A value without further groups that satisfies the conditions."""
        value = self._plain(flat.plain, place)
        failed = self._failed(flat, value)
        if failed is None:
            return value
        if not failed.is_steered:
            return self._steered(flat, failed, value=value, place=place)
        before = self._variant
        try:
            for variant in range(before + 1, before + VARIANTS):
                self._variant = variant
                value = self._plain(flat.plain, place)
                if self._failed(flat, value) is None:
                    return value
        finally:
            self._variant = before
        raise unsatisfiable(f"`{failed.keyword}`: no valid value was found")

    def _failed(self, flat: FlatSchema, value: Any) -> Condition | None:  # noqa: ANN401 - a JSON value
        """A condition that `value` does not satisfy, if possible one whose alternatives are not being tried yet."""
        failed = None
        for each in flat.conditions:
            is_checked = failed is None or not each.is_steered
            if is_checked and not self._validator.satisfies(value, each.part, keyword=each.keyword):
                if not each.is_steered:
                    return each
                failed = each
        return failed

    def _steered(self, flat: FlatSchema, failed: Condition, *, value: Any, place: _Place) -> Any:  # noqa: ANN401 - JSON values
        """A value from one of the alternatives for a condition that `value` does not satisfy."""
        steered = Condition(failed.part, failed.above, is_steered=True)
        conditions = [steered if each is failed else each for each in flat.conditions]
        choices = chain(alternatives(failed.part, value, validator=self._validator, budget=self._budget), (True,))
        group = (failed.keyword, choices, failed.above)
        return self._grouped(FlatSchema(flat.plain, [group], conditions, flat.inside, flat.outer), place)

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
        others = {key: value for key, value in schema.items() if key not in {"enum", "const"}}
        simple = FITTED.issuperset(others)
        for value in schema["enum"]:
            self._budget.spend(1, "enum")
            if fits(value, schema) and (simple or self._validator.satisfies(value, others, keyword="enum")):
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
        if kind == "null":
            return None
        return self._scalars.number(schema, integer=kind == "integer", variant=self._variant)

    def _object(self, schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties", {})
        least = count_of(schema, "minProperties", default=0)
        most = count_of(schema, "maxProperties", default=len(properties) + MAX_ITEMS)
        members: dict[str, Any] = {}
        for name in self._required(schema):
            keyword = "properties" if name in properties else "additionalProperties"
            members[name] = self._member(name, self._schema_of(name, schema), place=place.below(name, keyword))
        wanted = max(least, min(1, most))
        for name in properties:
            if len(members) >= wanted:
                break
            if name not in members:
                optional = self._schema_of(name, schema)
                value = self._value_or_none(
                    partial(self._member, name, optional, place=place.below(name, "properties"))
                )
                members |= {} if value is _NONE else {name: value}
        for name in self._more_names(least - len(members), schema, taken=list(members), place=place):
            members[name] = self._member(name, self._schema_of(name, schema), place=place.below("", "minProperties"))
        if len(members) > most:
            raise unsatisfiable(f"`maxProperties`: more than {most} properties are required")
        return members

    def _schema_of(self, name: str, schema: dict[str, Any]) -> Schema:
        """The schema of a property: those of `properties` and of all matching patterns, else of other properties."""
        if "patternProperties" not in schema:
            extra: Schema = schema.get("additionalProperties", schema.get("unevaluatedProperties", True))
            return schema.get("properties", {}).get(name, extra)  # type: ignore[no-any-return] # a schema
        return {"allOf": self._validator.schemas_of(name, schema)}

    def _more_names(self, count: int, schema: dict[str, Any], *, taken: list[str], place: _Place) -> list[str]:
        """`count` more names of properties, other than those that are `taken`."""
        if count <= 0:
            return []
        self._budget.spend(min(count, MAX_STEPS) + len(taken) // 8, "minProperties")
        properties: dict[str, Schema] = schema.get("properties", {})
        patterns = schema.get("patternProperties") or {}
        naming: dict[str, Any] = {"type": "string", "allOf": [schema.get("propertyNames", True)]}
        if patterns and schema.get("additionalProperties") is False:
            naming["pattern"] = next(iter(patterns))
        if "propertyNames" in schema or "pattern" in naming:
            names = self._distinct_values([naming] * (count + len(taken)), place.below("", "propertyNames"))
        else:
            names = [f"property{line}{number}" for line in ("_", "__") for number in range(count)]
        return [name for name in names if name not in taken and name not in properties][:count]

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
        items: Schema = schema.get("items", schema.get("unevaluatedItems", True))
        inner = place.below(place.name, "items")
        schemas = [*first[:most], *[items] * (least - len(first))]
        if "contains" in schema:
            schemas = _containing(schemas, schema, items=items)
            if len(schemas) > most:
                raise unsatisfiable(f"`contains`: an array may have at most {most} items")
        elif not schemas and most >= 1:
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


def _containing(schemas: list[Schema], schema: dict[str, Any], *, items: Schema) -> list[Schema]:
    """The schemas of an array's items, so that as many of them as necessary satisfy `contains`."""
    contained: Schema = schema["contains"]
    least = count_of(schema, "minContains", default=1)
    if least > MAX_ITEMS:
        raise unsatisfiable(f"`minContains`: an array may have at most {MAX_ITEMS} items")
    schemas = [*schemas, *[items] * (least - len(schemas))]
    others: Schema = {"not": contained} if "maxContains" in schema else True
    return [{"allOf": [each, contained if place < least else others]} for place, each in enumerate(schemas)]


_NONE = object()
