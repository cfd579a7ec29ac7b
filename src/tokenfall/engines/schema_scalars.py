"""Texts and numbers that satisfy a JSON schema's bounds, for `tokenfall.engines.schema`. Pure."""

import re
from fractions import Fraction
from math import ceil, floor
from typing import Any

from tokenfall.errors import InvalidRequest

WORDS = ["large", "language", "models", "let", "tokens", "fall", "one", "after", "another"]
MAX_TEXT = 50_000
MAX_PATTERN = 500

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
_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_VARIABLE = re.compile(r"[*+?]|\{\d*,\d*\}")
_REPEATED_GROUP = re.compile(r"\)(?:[*+?]|\{)")

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Whether the type and the bounds of `schema` allow `value`, which stands in an enum of it."""
    kinds = schema.get("type")
    if kinds is not None and not any(_is(value, kind) for kind in (kinds if isinstance(kinds, list) else [kinds])):
        return False
    if isinstance(value, str):
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return bool(
            schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and schema.get("exclusiveMinimum", value - 1) < value < schema.get("exclusiveMaximum", value + 1)
        )
    return True


def _is(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS.get(kind, ()))


def text(schema: dict[str, Any], name: str, *, variant: int) -> str:
    """A text within its bounds. Texts of other variants differ, if they may."""
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", MAX_TEXT))
    if least > min(most, MAX_TEXT):
        raise unsatisfiable(f"a text of {least} characters is too long")
    known = _FORMATS.get(schema.get("format", ""))
    if "pattern" in schema:
        return _matching(schema["pattern"], [*filter(None, (known,)), *_PATTERN_CANDIDATES], least=least, most=most)
    if known is not None:
        if not least <= len(known) <= most:
            raise unsatisfiable(f"no {schema['format'][:80]} is within its bounds")
        return known
    words = " ".join(WORDS[:3]) if not name else f"some {name[:200].replace('_', ' ')}"
    if variant:
        words = f"{variant} {words}"
    words *= ceil((least + 1) / len(words))
    return words[: max(least, min(most, 300))]


def _matching(pattern: str, candidates: list[str], *, least: int, most: int) -> str:
    beyond = unsatisfiable(f"the pattern {pattern[:80]!r} is beyond the simulator")
    if _may_dawdle(pattern):
        raise beyond
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError):
        raise unsatisfiable(f"the pattern {pattern[:80]!r} cannot be read") from None
    for candidate in candidates:
        if least <= len(candidate) <= most and compiled.search(candidate):
            return candidate
    raise beyond


def _may_dawdle(pattern: str) -> bool:
    """Whether looking for it could take `re` long: it tries all ways in which repetitions share out a text.

    Two of them share out a candidate in a thousand ways, which is nothing; a repeated group may do so exponentially.
    """
    bare = _CLASS.sub("x", pattern)
    return (
        len(pattern) > MAX_PATTERN
        or len(_VARIABLE.findall(bare.replace("(?", "("))) > 2
        or (_REPEATED_GROUP.search(bare) is not None and (len(_VARIABLE.findall(bare)) > 1 or "|" in bare))
    )


def number(schema: dict[str, Any], *, whole: bool, variant: int) -> float:
    """A number within its bounds. Numbers of other variants differ, if they may."""
    low, high, above, below = (
        None if schema.get(key) is None else Fraction(schema[key])
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    )
    if not (schema.get("multipleOf") or whole):
        return _between(low, high, above=above, below=below, variant=variant)
    step = Fraction(str(schema.get("multipleOf") or 1))
    step = Fraction(step.numerator) if whole else step
    leasts = [ceil(bound / step) for bound in (low,) if bound is not None]
    leasts += [floor(bound / step) + 1 for bound in (above,) if bound is not None]
    mosts = [floor(bound / step) for bound in (high,) if bound is not None]
    mosts += [ceil(bound / step) - 1 for bound in (below,) if bound is not None]
    return _float(_step(max(leasts, default=None), min(mosts, default=None), variant=variant) * step)


def _step(least: int | None, most: int | None, *, variant: int) -> int:
    if least is not None:
        chosen = least + variant
    elif most is None or most >= 1 + variant:
        return 1 + variant
    else:
        return min(most, 1) - variant
    if most is not None and chosen > most:
        raise unsatisfiable("no number is within its bounds")
    return chosen


def _between(
    low: Fraction | None, high: Fraction | None, *, above: Fraction | None, below: Fraction | None, variant: int
) -> float:
    """Half of the way from one bound to the other, or half of that, and so on."""
    lowest = max((bound for bound in (low, above) if bound is not None), default=None)
    highest = min((bound for bound in (high, below) if bound is not None), default=None)
    if lowest is None:
        return 1.5 + variant if highest is None else _float(highest - Fraction(1, 2) - variant)
    if highest is None:
        return _float(lowest + Fraction(1, 2) + variant)
    value = _float(lowest + (highest - lowest) / 2 ** (1 + variant))
    if not lowest <= value <= highest or value in (above, below):
        raise unsatisfiable("no number is within its bounds")
    return value


def _float(value: Fraction) -> float:
    return int(value) if value.denominator == 1 and abs(value) < 2**63 else float(value)


def unsatisfiable(why: str) -> InvalidRequest:
    """The refusal of a schema."""
    return InvalidRequest(f"the simulator cannot satisfy this JSON schema: {why}")
