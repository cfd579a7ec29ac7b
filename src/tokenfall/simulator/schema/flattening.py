"""Resolves `$ref` and `allOf`: a schema becomes plain keywords, groups of alternatives, and conditions. Pure.

Called by `sampler` for each value. Must not depend on how a value is generated or an alternative chosen.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from tokenfall.simulator.schema.budget import Budget, malformed, unsatisfiable
from tokenfall.simulator.schema.keywords import Schema, check_keywords, merge_schemas
from tokenfall.simulator.schema.references import resolve_reference
from tokenfall.simulator.schema.steering import VALIDATED, conditions_of

_APPLIED = VALIDATED - {"contains", "minContains", "maxContains", "propertyNames"} | {"$ref", "allOf", "anyOf"}


class Condition(msgspec.Struct, frozen=True):
    """A schema that a value must satisfy. `above` are the targets that contain it.

    `is_steered`: its alternatives are being tried.
    """

    part: dict[str, Any]
    above: frozenset[int]
    is_steered: bool = False

    @property
    def keyword(self) -> str:
        return next(iter(self.part))


class FlatSchema(msgspec.Struct):
    """A schema with `$ref` and `allOf` resolved.

    Of each of `groups`, one alternative must hold; its third item are the targets that contain the group. `inside` are
    the `$ref` targets resolved for this value, and `outer` those of the values around it.
    """

    plain: dict[str, Any]
    groups: list[tuple[str, Iterable[Schema], frozenset[int]]]
    conditions: list[Condition]
    inside: frozenset[int]
    outer: frozenset[int]


class Flattener:
    """Flattens the parts of one schema, `root`."""

    def __init__(self, root: Schema, budget: Budget) -> None:
        self._root = root
        self._budget = budget

    def flattened(self, flat: FlatSchema, schema: Schema, *, keyword: str, above: frozenset[int]) -> FlatSchema:
        """`flat` with the keywords of `schema` added. `above` are the `$ref` targets that contain `schema`."""
        plain, groups, conditions, inside = flat.plain, flat.groups, flat.conditions, flat.inside
        parts = [(keyword, schema, above)]
        while parts:
            keyword, subschema, above = parts.pop()
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
                # A value nested in a value of the same schema would satisfy that schema by itself. So the smallest
                # value is never recursive, and recursion can be refused. Schemas are compared by identity, because
                # a client can write a reference to the same schema in many ways.
                if id(target) in above or id(target) in flat.outer:
                    raise unsatisfiable("`$ref`: the recursion has no end")
                if id(target) not in inside:
                    parts.append(("$ref", target, above | {id(target)} if isinstance(target, dict) else above))
                    inside |= {id(target)} if isinstance(target, dict) else set()
            if not _APPLIED.isdisjoint(part) or not VALIDATED.isdisjoint(part):
                parts += self._parts(part, above)
                groups = groups + [(key, part[key], above) for key in ("anyOf", "oneOf") if part.get(key)]
                conditions = conditions + [Condition(each, above) for each in conditions_of(part)]
                self._budget.spend(len(groups) + len(conditions) // 4, "anyOf")
                part = {key: value for key, value in part.items() if key not in _APPLIED}
            plain = merge_schemas(plain, part, budget=self._budget) if plain else part
        return FlatSchema(plain, groups, conditions, inside, flat.outer)

    def _parts(self, part: dict[str, Any], above: frozenset[int]) -> list[tuple[str, Schema, frozenset[int]]]:
        """The parts of `allOf` in reverse order, as they are popped from a stack."""
        parts = part.get("allOf", [])
        self._budget.spend(len(parts) // 4, "allOf")
        return [("allOf", each, above) for each in reversed(parts)]
