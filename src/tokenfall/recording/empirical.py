"""Empirical timing profiles: quantiles of measured times instead of an assumed distribution. Pure.

Draws are independent: correlation between times, for example a provider's slow minutes, is not modelled.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise, repeat
from math import isfinite
from random import Random

import msgspec
from msgspec import Struct

FORMAT = "tokenfall-profile-1"
PROBABILITIES = (*(percent / 100 for percent in range(100)), 0.995, 0.999, 1.0)
"""The stored quantiles: every percent, and more in the tail, where the long times are."""


class Quantiles(Struct, frozen=True, forbid_unknown_fields=True):
    """An inverse distribution function: seconds by probability. `places`, the probabilities, increase strictly from 0
    to 1; `seconds` never decrease.
    """

    count: int
    """The size of the sample."""
    places: tuple[float, ...]
    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        places, seconds = self.places, self.seconds
        if len(places) != len(seconds) or len(places) < 2 or places[0] != 0 or places[-1] != 1:
            raise ValueError("quantiles need as many seconds as places, and places from 0 to 1")
        if any(a >= b for a, b in pairwise(places)):
            raise ValueError("the places of quantiles must increase")
        if any(a > b for a, b in pairwise(seconds)) or seconds[0] < 0:
            raise ValueError("the seconds of quantiles must not decrease or be negative")
        if not all(map(isfinite, seconds)):
            raise ValueError("the seconds of quantiles must be finite")

    def at(self, place: float) -> float:
        """Seconds at the probability `place`, from 0 to 1, interpolated linearly between two quantiles."""
        after = min(bisect_right(self.places, place), len(self.places) - 1)
        low, high = self.places[after - 1], self.places[after]
        return _between(self.seconds[after - 1], self.seconds[after], share=(place - low) / (high - low))

    def draw(self, random: Random) -> float:
        """A random time in seconds."""
        return self.at(random.random())


class Empirical(Struct, frozen=True, forbid_unknown_fields=True):
    """A timing profile that `tokenfall fit` computed from a recording."""

    ttft: Quantiles
    gap: Quantiles

    def schedule(self, random: Random) -> Iterator[float]:
        """The infinite gaps of one stream in seconds, first the time to the first token; as `timing.schedule`."""
        return chain((self.ttft.draw(random),), (self.gap.draw(random) for _ in repeat(None)))


def quantiles(sample: Sequence[float]) -> Quantiles:
    """The quantiles of a non-empty sample, interpolated linearly (Hyndman and Fan's type 7)."""
    ordered = sorted(sample)
    last = len(ordered) - 1
    seconds = []
    for place in PROBABILITIES:
        below = int(place * last)
        seconds.append(_between(ordered[below], ordered[min(below + 1, last)], share=place * last - below))
    return Quantiles(len(ordered), PROBABILITIES, tuple(accumulate(seconds, max)))  # rounding may cause a decrease


def _between(low: float, high: float, *, share: float) -> float:
    return min(low + (high - low) * share, high)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    ttft: Quantiles
    gap: Quantiles


def encode(profile: Empirical) -> bytes:
    """The content of a profile file."""
    return msgspec.json.format(msgspec.json.encode(_File(FORMAT, profile.ttft, profile.gap)), indent=1) + b"\n"


def decode(content: bytes) -> Empirical:
    """Decode the content of a profile file. Raises ValueError with a description of the problem."""
    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if file.format != FORMAT:
        raise ValueError(f"its format is {file.format[:40]!r}, not {FORMAT!r}")
    return Empirical(file.ttft, file.gap)
