"""Generates strings and numbers within a JSON schema's bounds, for `tokenfall.simulator.schema.sampler`. Pure."""

from fractions import Fraction
from math import ceil, floor
from typing import Any

from tokenfall.simulator.schema.budget import Budget, Unsatisfiable, malformed, unsatisfiable
from tokenfall.simulator.schema.keywords import count_of, number_of
from tokenfall.simulator.schema.pattern_text import Pattern

MAX_TEXT = 50_000

_WORDS = "large language models"
_BOUNDS = "`minimum`, `maximum` and `multipleOf`"
_NUMERIC = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}

_FORMATS = {
    "date": ("2026-01-31", "20{year:02}-{month:02}-{day:02}"),
    "date-time": ("2026-01-31T12:00:00Z", "20{year:02}-{month:02}-{day:02}T12:00:00Z"),
    "time": ("12:00:00Z", "12:{minute:02}:{second:02}Z"),
    "duration": ("PT1H", "PT{variant}H1M"),
    "email": ("reader@example.com", "reader{variant}@example.com"),
    "hostname": ("example.com", "example{variant}.com"),
    "ipv4": ("192.0.2.1", "192.0.{minute}.{second}"),
    "ipv6": ("2001:db8::1", "2001:db8::1:{variant:x}"),
    "uri": ("https://example.com/", "https://example.com/{variant}"),
    "uuid": ("6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "6f9619ff-8b86-4d01-b42d-{variant:012x}"),
    "json-pointer": ("/a", "/a{variant}"),
    "relative-json-pointer": ("0", "{variant}"),
    "regex": ("a", "a{variant}"),
}
_FORMATS |= {
    **dict.fromkeys(("url", "iri", "uri-reference", "iri-reference", "uri-template"), _FORMATS["uri"]),
    "idn-email": _FORMATS["email"],
    "idn-hostname": _FORMATS["hostname"],
}
"""A text of each format, and a template of others. `year` to `second` are computed from the variant."""

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


FITTED = frozenset(
    {"type", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "title"}
    | {"description", "default", "examples", "format"}
)
"""Keywords that `fits` checks, or that need no check."""


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Whether type and bounds of `schema` allow `value`, one of its `enum`."""
    kinds = schema.get("type")
    if kinds is not None and not any(_is(value, kind) for kind in (kinds if isinstance(kinds, list) else [kinds])):
        return False
    if isinstance(value, str):
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return bool(
            schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and ("exclusiveMinimum" not in schema or schema["exclusiveMinimum"] < value)
            and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        )
    return True


def _is(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS[kind])


class Scalars:
    """Generates the strings and numbers for the schemas of one request; each pattern is parsed once."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._patterns: dict[str, Pattern] = {}

    def text(self, schema: dict[str, Any], name: str, *, variant: int) -> str:
        """A string within its bounds. Different variants give different strings, if the schema allows it."""
        least = count_of(schema, "minLength", default=0)
        most = min(count_of(schema, "maxLength", default=MAX_TEXT), MAX_TEXT)
        if least > most:
            raise unsatisfiable(f"`minLength`: a string may have at most {most} characters")
        self._budget.spend(least // 64, "minLength")
        known = _formatted(schema.get("format", ""), variant)
        text = _words(name, least, most=most, variant=variant) if known is None else known
        if "pattern" in schema:
            pattern = self.pattern(schema["pattern"])
            if not (least <= len(text) <= most and pattern.matches(text)):
                text = pattern.text(least=least, most=most, variant=variant)
        elif not least <= len(text) <= most:
            raise unsatisfiable(f"`format`: {text!r} does not have the required length")
        return self._budget.spend_text(text, "minLength" if least > len(name) else "type")

    def pattern(self, text: str) -> Pattern:
        """The parsed pattern. Raises `Unsatisfiable`."""
        pattern = self._patterns.get(text)
        if pattern is None:
            pattern = self._patterns[text] = Pattern(text, self._budget)
        return pattern

    def number(self, schema: dict[str, Any], *, integer: bool, variant: int) -> float:
        """A number within its bounds. Different variants give different numbers, if the schema allows it."""
        if _NUMERIC.isdisjoint(schema):
            return 1 + variant if integer else 1.5 + variant
        low, high, above, below = (
            self._fraction(schema, key) for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        )
        step = self._fraction(schema, "multipleOf")
        if step is not None and step <= 0:
            raise malformed("multipleOf", "a number above 0")
        if step is None and not integer:
            return _between(low, high, above=above, below=below, variant=variant)
        step = step or Fraction(1)
        step = Fraction(step.numerator) if integer else step
        leasts = [ceil(bound / step) for bound in (low,) if bound is not None]
        leasts += [floor(bound / step) + 1 for bound in (above,) if bound is not None]
        mosts = [floor(bound / step) for bound in (high,) if bound is not None]
        mosts += [ceil(bound / step) - 1 for bound in (below,) if bound is not None]
        return _float(_step(max(leasts, default=None), min(mosts, default=None), variant=variant) * step)

    def _fraction(self, schema: dict[str, Any], keyword: str) -> Fraction | None:
        """The exact value of a bound; a `multipleOf` is read as decimal, so 0.1 is a tenth."""
        value = number_of(schema, keyword)
        if value is None:
            return None
        fraction = Fraction(str(value)) if keyword == "multipleOf" else Fraction(value)
        self._budget.spend(4 + (fraction.numerator.bit_length() + fraction.denominator.bit_length()) // 16, keyword)
        return fraction


def _formatted(name: str, variant: int) -> str | None:
    """A text of the format, None for an unknown format. Different variants give different texts."""
    known = _FORMATS.get(name)
    if known is None or not variant:
        return known and known[0]
    days, (minute, second) = divmod(variant, 28), divmod(variant, 60)
    year, month = divmod(days[0], 12)
    return known[1].format(
        variant=variant, year=year % 100, month=1 + month, day=1 + days[1], minute=minute % 60, second=second
    )


def _words(name: str, least: int, *, most: int, variant: int) -> str:
    words = f"some {name[:200].replace('_', ' ')}" if name else _WORDS
    if variant:
        words = f"{variant} {words}"
    if least > len(words):
        words *= ceil((least + 1) / len(words))
    return words[: max(least, min(most, 300))]


def _step(least: int | None, most: int | None, *, variant: int) -> int:
    if least is not None:
        chosen = least + variant
    elif most is None or most >= 1 + variant:
        return 1 + variant
    else:
        return min(most, 1) - variant
    if most is not None and chosen > most:
        raise _out_of_bounds()
    return chosen


def _between(
    low: Fraction | None, high: Fraction | None, *, above: Fraction | None, below: Fraction | None, variant: int
) -> float:
    """A number between the bounds: the middle for variant 0, then a quarter, an eighth and so on of the interval."""
    lowest = max((bound for bound in (low, above) if bound is not None), default=None)
    highest = min((bound for bound in (high, below) if bound is not None), default=None)
    if lowest is None:
        return 1.5 + variant if highest is None else _float(highest - Fraction(1, 2) - variant)
    if highest is None:
        return _float(lowest + Fraction(1, 2) + variant)
    value = _float(lowest + (highest - lowest) / 2 ** (1 + variant))
    if not lowest <= value <= highest or value in (above, below):
        raise _out_of_bounds()
    return value


def _out_of_bounds() -> Unsatisfiable:
    return unsatisfiable(f"{_BOUNDS}: no number is within them")


def _float(value: Fraction) -> float:
    if value.denominator == 1 and abs(value) < 2**63:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        raise unsatisfiable(f"{_BOUNDS}: no number of less than 1e308 is within them") from None
