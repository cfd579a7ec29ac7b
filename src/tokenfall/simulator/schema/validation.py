"""Validates JSON values against a schema, within the budget of a request. Pure.

The sampler uses it for keywords that it cannot satisfy by construction, such as `not` and `oneOf`. Source: JSON Schema,
draft 2020-12, validation and applicator vocabularies. `format` and the `unevaluated` keywords are not validated.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import isfinite
from typing import Any

import msgspec

from tokenfall.simulator.schema.budget import Budget, malformed
from tokenfall.simulator.schema.keywords import Schema, check_keywords, count_of, equal, number_of
from tokenfall.simulator.schema.pattern_text import Pattern
from tokenfall.simulator.schema.references import resolve_reference
from tokenfall.simulator.schema.scalars import fits

DEPENDENT = ("dependentSchemas", "dependentRequired", "dependencies")

STEPS = 5
"""Steps of validating one value against one schema, besides those of its members."""


class Validator:
    """Validates values for one request. `parse_pattern` parses a pattern, `root` resolves references."""

    def __init__(self, root: Schema, budget: Budget, *, parse_pattern: Callable[[str], Pattern]) -> None:
        self._root = root
        self._budget = budget
        self._parse_pattern = parse_pattern

    def satisfies(self, value: Any, schema: Schema, *, keyword: str, inside: frozenset[int] = frozenset()) -> bool:  # noqa: ANN401 - a JSON value
        """Whether `value` is valid. `keyword` is named if the budget is spent.

        `inside` are the ids (identity) of the `$ref` targets that contain `schema` and apply to the same value.
        """
        self._budget.spend(STEPS, keyword)
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise malformed(keyword, "a schema: an object, true or false")
        part = check_keywords(schema, self._budget)
        return fits(value, part) and all(self._results(value, part, keyword=keyword, inside=inside))

    def _results(
        self,
        value: Any,  # noqa: ANN401 - a JSON value
        part: dict[str, Any],
        *,
        keyword: str,
        inside: frozenset[int],
    ) -> Iterator[bool]:
        """The results for the keywords of one schema, simple ones first."""
        if "enum" in part:
            self._budget.spend(len(part["enum"]) // 4, "enum")
            yield any(equal(value, each) for each in part["enum"])
        if isinstance(value, str):
            yield "pattern" not in part or self._parse_pattern(part["pattern"]).matches(value)
        elif isinstance(value, dict):
            yield from self._of_object(value, part, keyword=keyword)
        elif isinstance(value, list):
            yield from self._of_array(value, part, keyword=keyword)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield "multipleOf" not in part or self._is_multiple(value, part)
        if "$ref" in part:
            target = resolve_reference(self._root, part["$ref"], budget=self._budget)
            yield id(target) in inside or self.satisfies(value, target, keyword="$ref", inside=inside | {id(target)})
        yield from self._combined(value, part, inside=inside)

    def _combined(self, value: Any, part: dict[str, Any], *, inside: frozenset[int]) -> Iterator[bool]:  # noqa: ANN401 - a JSON value
        def of(keyword: str) -> Iterator[bool]:
            return (self.satisfies(value, each, keyword=keyword, inside=inside) for each in part.get(keyword, ()))

        yield all(of("allOf"))
        yield "anyOf" not in part or any(of("anyOf"))
        yield "oneOf" not in part or sum(of("oneOf")) == 1
        yield "not" not in part or not self.satisfies(value, part["not"], keyword="not", inside=inside)
        if "if" in part:
            branch = "then" if self.satisfies(value, part["if"], keyword="if", inside=inside) else "else"
            yield self.satisfies(value, part.get(branch, True), keyword=branch, inside=inside)

    def _of_object(self, value: dict[str, Any], part: dict[str, Any], *, keyword: str) -> Iterator[bool]:
        named = sum(len(part.get(name, ())) for name in ("required", *DEPENDENT))
        self._budget.spend(len(value) // 4 + named // 8, keyword)
        yield count_of(part, "minProperties", default=0) <= len(value)
        yield len(value) <= count_of(part, "maxProperties", default=len(value))
        yield all(name in value for name in part.get("required", ()))
        for name, each in value.items():
            for schema in self.schemas_of(name, part):
                yield self.satisfies(each, schema, keyword="properties")
            if "propertyNames" in part:
                yield self.satisfies(name, part["propertyNames"], keyword="propertyNames")
        for name, dependent in dependents(part):
            yield name not in value or self.satisfies(value, dependent, keyword="dependentSchemas")

    def schemas_of(self, name: str, part: dict[str, Any]) -> list[Schema]:
        """The schemas that apply to the property `name`."""
        schemas: list[Schema] = []
        if name in part.get("properties", {}):
            schemas.append(part["properties"][name])
        patterns: dict[str, Schema] = part.get("patternProperties", {})
        schemas += [schema for pattern, schema in patterns.items() if self._parse_pattern(pattern).matches(name)]
        return schemas or [part.get("additionalProperties", part.get("unevaluatedProperties", True))]

    def _of_array(self, value: list[Any], part: dict[str, Any], *, keyword: str) -> Iterator[bool]:
        self._budget.spend(len(value) // 4, keyword)
        first: list[Schema] = part.get("prefixItems", [])
        rest: Schema = part.get("items", True)
        yield count_of(part, "minItems", default=0) <= len(value) <= count_of(part, "maxItems", default=len(value))
        for number, each in enumerate(value):
            yield self.satisfies(each, first[number] if number < len(first) else rest, keyword="items")
        if part.get("uniqueItems"):
            encoded = [msgspec.json.encode(each, order="sorted") for each in value]
            self._budget.spend(sum(map(len, encoded)) // 64, "uniqueItems")
            yield len(set(encoded)) == len(encoded)
        if "contains" in part:
            count = sum(self.satisfies(each, part["contains"], keyword="contains") for each in value)
            yield count_of(part, "minContains", default=1) <= count
            yield count <= count_of(part, "maxContains", default=count)

    def _is_multiple(self, value: float, part: dict[str, Any]) -> bool:
        step = number_of(part, "multipleOf") or 0
        if step <= 0:
            raise malformed("multipleOf", "a number above 0")
        if not isfinite(value):
            return False
        fraction = Fraction(str(value)) / Fraction(str(step))
        self._budget.spend(
            4 + (fraction.numerator.bit_length() + fraction.denominator.bit_length()) // 16, "multipleOf"
        )
        return fraction.denominator == 1


def dependents(part: dict[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Each property on whose presence a schema depends, with that schema. `dependencies` is that of draft 7."""
    for keyword in DEPENDENT:
        for name, dependent in part.get(keyword, {}).items():
            yield name, {"required": dependent} if isinstance(dependent, list) else dependent
