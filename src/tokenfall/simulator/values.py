"""The values of the simulator's grammar and their parsers. Pure; parsers raise ValueError."""

from __future__ import annotations

from tokenfall.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, TypeVar

    T = TypeVar("T")
    N = TypeVar("N", int, float)
    FaultKind = Literal["stall", "drip", "reset", "close", "nodone", "garbage", "split", "error"]

MAX_SECONDS = 86_400.0
MAX_TOKENS = 1_000_000
MAX_CV = 10
MIN_S = 1e-15
"""Shorter times are read as 0."""
MAX_DIGITS = 64
"""Maximum length of a decimal number: enough to format every parsed number again."""
MAX_ITEMS = 16
"""Maximum number of faults or statuses in one text."""


class Spread(Record):
    """A lognormal time with mean `mean_s`, seconds, and coefficient of variation `cv`; constant if `cv` is 0."""

    mean_s: float
    cv: float = 0.0


class Length(Record):
    """Number of tokens of a response: from `least` to `most`, both included."""

    least: int
    most: int


class Load(Record):
    """Gaps grow linearly to `factor` times as streams in flight go from 0 to `capacity`; later streams queue."""

    factor: float
    capacity: int


FAULT_KINDS: tuple[FaultKind, ...] = ("stall", "drip", "reset", "close", "nodone", "garbage", "split", "error")
_TIMED = ("stall", "drip")


class Fault(Record):
    """A fault before token `at` (from 0), with a probability. `time_s` is the duration of a stall or gap of a drip."""

    kind: FaultKind
    at: int
    time_s: float = 0.0
    probability: float = 1.0


class Status(Record):
    """An HTTP error instead of a response: for the first `times` requests (None for all), each with a probability."""

    code: int
    times: int | None = None
    probability: float = 1.0
    retry_after_s: float | None = None


class Limit(Record):
    """Rate limits of a provider: requests and tokens per minute, None for no limit."""

    requests: int | None = None
    tokens: int | None = None


class GatePosition(Record):
    """The token (from 0) before which a stream waits at a gate."""

    name: str
    at: int = 0


def seconds(text: str) -> float:
    """`300ms`, `1.5s`, `2m` or `250us` in seconds. Raises ValueError for other texts."""
    for unit, times, parts in (("ms", 1, 1_000), ("us", 1, 1_000_000), ("s", 1, 1), ("m", 60, 1)):
        if text.endswith(unit):
            value = number(text.removesuffix(unit)) * times / parts  # division makes 9ms the float 0.009
            if value > MAX_SECONDS:
                raise ValueError(text)
            return value if value >= MIN_S else 0.0
    raise ValueError(text)


def number(text: str) -> float:
    """A plain decimal number, not negative: no sign, exponent, underscore, NaN or infinity."""
    if not text.replace(".", "", 1).isdigit() or not text.isascii() or len(text) > MAX_DIGITS:
        raise ValueError(text)
    return float(text)


def integer(text: str) -> int:
    """A plain integer, not negative."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ValueError(text)
    return int(text)


def spread(text: str, read: Callable[[str], float] = seconds) -> Spread:
    """`20ms` or `20ms~0.3`."""
    mean, tilde, cv = text.partition("~")
    return Spread(read(mean), _within(number(cv), 0, most=MAX_CV) if tilde else 0.0)


def gap_of_rate(text: str) -> Spread:
    """Tokens per second, `50` or `50~0.3`, as the gap between two tokens."""
    rate = spread(text, number)
    return Spread(1 / _within(rate.mean_s, 1 / MAX_SECONDS, most=1e6), rate.cv)


def length(text: str) -> Length:
    """`120` or `80..200`."""
    first, dots, last = text.partition("..")
    least = integer(first)
    return Length(least, _within(integer(last if dots else first), least, most=MAX_TOKENS))


def load(text: str) -> Load:
    """`2@64`."""
    factor, _, capacity = text.partition("@")
    return Load(_within(number(factor), 1, most=1000), _within(integer(capacity), 1, most=MAX_TOKENS))


class InvalidItem(ValueError):
    """One of several items is not valid; the argument is its text."""


def faults(text: str) -> tuple[Fault, ...]:
    """`reset@5`, `stall@3:5s%0.1`; several are separated by `+`."""
    return _several(text, _fault)


def _fault(text: str) -> Fault:
    timed, percent, chance = text.partition("%")
    located, colon, argument = timed.partition(":")
    kind, at, place = located.partition("@")
    if kind not in FAULT_KINDS or not at or bool(colon) != (kind in _TIMED):
        raise ValueError(text)
    return Fault(
        kind,
        _place(place),
        time_s=seconds(argument) if colon else 0.0,
        probability=_within(number(chance), 0, most=1) if percent else 1.0,
    )


def statuses(text: str) -> tuple[Status, ...]:
    """`429x2`, `500%0.1`, `503:retry=3`; several are separated by `+`, and the first that applies is used."""
    return _several(text, _status)


def _status(text: str) -> Status:
    drawn, colon, retry = text.partition(":")
    counted, percent, chance = drawn.partition("%")
    code, times_sign, times = counted.partition("x")
    if colon and not retry.startswith("retry="):
        raise ValueError(text)
    return Status(
        _within(integer(code), 400, most=599),
        integer(times) if times_sign else None,
        probability=_within(number(chance), 0, most=1) if percent else 1.0,
        retry_after_s=_within(number(retry.removeprefix("retry=")), 0, most=MAX_SECONDS) if colon else None,
    )


def limit(text: str) -> Limit:
    """`rpm=60`, `tpm=6000`, or both separated by a comma."""
    values: dict[str, int] = {}
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals or key not in ("rpm", "tpm") or key in values or integer(value) < 1:
            raise ValueError(text)
        values[key] = integer(value)
    return Limit(values.get("rpm"), values.get("tpm"))


def gate(text: str) -> GatePosition:
    """`ready` or `ready@5`."""
    name, at, place = text.partition("@")
    return GatePosition(name_of(name), _place(place) if at else 0)


def name_of(text: str) -> str:
    """1 to 64 letters, digits or `_-.`."""
    if not (
        0 < len(text) <= 64 and text.isascii() and text.replace("-", "").replace("_", "").replace(".", "").isalnum()
    ):
        raise ValueError(text)
    return text


def speed(text: str) -> float:
    """Replay speed relative to the recording."""
    found = number(text)
    if not 0 < found <= 1000:
        raise ValueError(text)
    return found


def file_name(text: str) -> str:
    """A file name, unchanged."""
    if not text or "\0" in text or len(text) > 1000:
        raise ValueError(text)
    return text


def _several(text: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """The items of `text`, separated by `+`, which is a space in a query string where it is not escaped."""
    parts = text.replace(" ", "+").split("+")
    if len(parts) > MAX_ITEMS:
        raise ValueError(text)
    items: list[T] = []
    for part in parts:
        try:
            items.append(read(part))
        except ValueError:
            raise InvalidItem(part) from None
    return tuple(items)


def _place(text: str) -> int:
    return _within(integer(text), 0, most=MAX_TOKENS)


def _within(value: N, least: float, *, most: float) -> N:
    """`value` if it is within the bounds."""
    if not least <= value <= most:
        raise ValueError(value)
    return value
