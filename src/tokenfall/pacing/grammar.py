"""The simulator's grammar: `ttft=300ms~0.4,gap=20ms,tokens=80..200,seed=7`. Pure.

The same keys are read from the SIM setting, a model name's suffix, the header X-Sim and a query string;
`overlay` puts the nearer over the farther. A mistake names the key, what it got and what it takes.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from tokenfall.errors import InvalidRequest

MAX_SECONDS = 86_400.0
MAX_TOKENS = 1_000_000


class Spread(Struct, frozen=True):
    """A time around `mean_s` seconds; `cv` is the coefficient of variation of its lognormal, 0 for always the mean."""

    mean_s: float
    cv: float = 0.0


class Length(Struct, frozen=True):
    """How many tokens an answer has: from `least` to `most`, both included."""

    least: int
    most: int


class Simulation(Struct, frozen=True):
    """What was asked of the simulator; None where nothing was said."""

    gap: Spread | None = None
    ttft: Spread | None = None
    tokens: Length | None = None
    seed: int | None = None

    def overlay(self, nearer: "Simulation") -> "Simulation":
        """`nearer` where it says something, this one elsewhere."""
        said = {key: value for key, value in msgspec.structs.asdict(nearer).items() if value is not None}
        return msgspec.structs.replace(self, **said) if said else self


def parse(text: str) -> Simulation:
    """Read `key=value` pairs parted by commas; an empty text says nothing. Raises `InvalidRequest`."""
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidRequest(f"simulator: {part[:40]!r} is not key=value; keys: {', '.join(KEYS)}")
        pairs.append((key.strip(), value.strip()))
    return from_pairs(pairs)


def from_pairs(pairs: Iterable[tuple[str, str]]) -> Simulation:
    """Read pairs such as a query string's. Raises `InvalidRequest` on unknown or repeated keys and on bad values."""
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key not in KEYS:
            raise InvalidRequest(f"simulator: unknown key {key[:40]!r}; keys: {', '.join(KEYS)}")
        field, read, takes = KEYS[key]
        if field in fields:
            raise InvalidRequest(f"simulator: {key} is said twice (gap and tps are one)")
        try:
            fields[field] = read(value)
        except ValueError:
            raise InvalidRequest(f"simulator: {key} got {value[:40]!r}, takes {takes}") from None
    return Simulation(**fields)


def seconds(text: str) -> float:
    """`300ms`, `1.5s`, `2m` or `250us` in seconds; raises ValueError on anything else."""
    for unit, factor in (("ms", 1e-3), ("us", 1e-6), ("s", 1.0), ("m", 60.0)):
        if text.endswith(unit):
            value = _number(text.removesuffix(unit)) * factor
            if value > MAX_SECONDS:
                raise ValueError(text)
            return value
    raise ValueError(text)


def _number(text: str) -> float:
    """A plain decimal number, not negative: no sign, exponent, underscore, NaN or infinity."""
    if not text.replace(".", "", 1).isdigit() or not text.isascii() or len(text) > 20:
        raise ValueError(text)
    return float(text)


def _integer(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ValueError(text)
    return int(text)


def _spread(text: str, read: Callable[[str], float]) -> Spread:
    mean, tilde, cv = text.partition("~")
    spread = Spread(read(mean), _number(cv) if tilde else 0.0)
    if spread.cv > 10:
        raise ValueError(text)
    return spread


def _gap(text: str) -> Spread:
    return _spread(text, seconds)


def _tps(text: str) -> Spread:
    rate, cv = _spread(text, _number).mean_s, _spread(text, _number).cv
    if not 1 / MAX_SECONDS <= rate <= 1e6:
        raise ValueError(text)
    return Spread(1 / rate, cv)


def _length(text: str) -> Length:
    least, dots, most = text.partition("..")
    length = Length(_integer(least), _integer(most if dots else least))
    if not length.least <= length.most <= MAX_TOKENS:
        raise ValueError(text)
    return length


_DURATION = "a duration with its unit such as 20ms, 0.3s or 2m, and after ~ a coefficient of variation up to 10"

KEYS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "gap": ("gap", _gap, _DURATION),
    "tps": (
        "gap",
        _tps,
        "tokens a second above 0 such as 50, and after ~ a coefficient of variation up to 10",
    ),
    "ttft": ("ttft", _gap, _DURATION),
    "tokens": ("tokens", _length, f"a number from 0 to {MAX_TOKENS}, or two such as 80..200"),
    "seed": ("seed", _integer, "an integer from 0"),
}
"""Each key: the field it fills, its reader (ValueError on a bad value) and what it takes, for the error."""
