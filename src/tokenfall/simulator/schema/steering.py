"""Leads the sampler to values that satisfy `not`, `oneOf`, conditions and dependencies. Pure.

The sampler generates values from the other keywords, and validates them against these. If a value is not valid, it
tries the alternatives for the violated keyword: each is a schema to be combined with the one that has the keyword. An
alternative need not be exact, as its value is validated again; it only has to make a valid value likely.
"""

from collections.abc import Iterator
from typing import Any

from tokenfall.simulator.schema.budget import Budget
from tokenfall.simulator.schema.keywords import TYPES, Schema, check_keywords
from tokenfall.simulator.schema.validation import DEPENDENT, Validator, dependents

_CONDITIONS = (
    ("not",),
    ("oneOf",),
    ("if", "then", "else"),
    ("contains", "minContains", "maxContains"),
    ("propertyNames",),
)
VALIDATED = frozenset(name for names in (*_CONDITIONS, DEPENDENT) for name in names)
"""Keywords that a generated value is validated against."""


def conditions_of(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The keywords of a schema that a value is validated against: a schema for each that is independent of others."""
    for names in _CONDITIONS:
        if names[0] in part:
            yield {name: part[name] for name in names if name in part}
    for keyword in DEPENDENT:
        for name, dependent in part.get(keyword, {}).items():
            yield {keyword: {name: dependent}}


def alternatives(
    condition: dict[str, Any],
    value: Any,  # noqa: ANN401 - a JSON value
    *,
    validator: Validator,
    budget: Budget,
) -> Iterator[Schema]:
    """Schemas that make it likely that the condition is satisfied, which `value` violates."""
    if "not" in condition:
        yield from _violations(condition["not"], budget)
    elif "if" in condition:
        yield {"allOf": [condition["if"], condition.get("then", True)]}
        yield {"allOf": [{"not": condition["if"]}, condition.get("else", True)]}
    elif "oneOf" in condition:
        yield from _exclusive(condition["oneOf"], value, validator=validator)
    else:
        present = value if isinstance(value, dict) else {}
        due = [(name, schema) for name, schema in dependents(condition) if name in present]
        yield {"allOf": [schema for _, schema in due]}
        yield {"properties": {name: False for name, _ in due}}


def _exclusive(schemas: list[Schema], value: Any, *, validator: Validator) -> Iterator[Schema]:  # noqa: ANN401 - a JSON value
    """For each schema that `value` satisfies: the exclusion of the others."""
    satisfied = [each for each in schemas if validator.satisfies(value, each, keyword="oneOf")]
    for chosen in satisfied:
        yield {"allOf": [{"not": each} for each in satisfied if each is not chosen]}


def _violations(schema: Schema, budget: Budget) -> Iterator[Schema]:
    """Schemas whose values probably do not satisfy `schema`."""
    if not isinstance(schema, dict):
        return
    schema = check_keywords(schema, budget)
    kinds = schema.get("type")
    if kinds is not None:
        excluded = [kinds] if isinstance(kinds, str) else kinds
        yield {"type": [kind for kind in TYPES if kind not in excluded and not _overlaps(kind, excluded)]}
    for name in schema.get("required") or ():
        yield {"type": "object", "properties": {name: False}}
    for name, each in (schema.get("properties") or {}).items():
        yield {"type": "object", "required": [name], "properties": {name: {"not": each}}}
    for keyword, opposite, distance in _OPPOSITES:
        if keyword in schema:
            yield {opposite: schema[keyword] + distance}
    for each in schema.get("allOf") or ():
        yield {"not": each}
    if schema.get("anyOf"):
        budget.spend(len(schema["anyOf"]), "not")
        yield {"allOf": [{"not": each} for each in schema["anyOf"]]}
    if "not" in schema:
        yield schema["not"]


_OPPOSITES = (
    ("minimum", "exclusiveMaximum", 0),
    ("exclusiveMinimum", "maximum", 0),
    ("maximum", "exclusiveMinimum", 0),
    ("exclusiveMaximum", "minimum", 0),
    ("minLength", "maxLength", -1),
    ("maxLength", "minLength", 1),
    ("minItems", "maxItems", -1),
    ("maxItems", "minItems", 1),
    ("minProperties", "maxProperties", -1),
    ("maxProperties", "minProperties", 1),
)
"""Keywords with the one whose bound excludes them, and its distance."""


def _overlaps(kind: str, excluded: list[str]) -> bool:
    """Whether some values of `kind` are of an excluded type."""
    numeric = {"integer", "number"}
    return kind in numeric and not numeric.isdisjoint(excluded)
