"""Token sequences of the simulator that are computed instead of stored: repeated filler text, and random words."""

from collections.abc import Iterator
from itertools import chain, islice, repeat

from tokenfall.simulator.paragraph import WORDS
from tokenfall.tokens import ComputedTokens

SPACED_WORDS = tuple(f" {word}" for word in WORDS)
_FIRST = (WORDS[0], *SPACED_WORDS[1:])
_64_BITS = 2**64 - 1


class Prose(ComputedTokens):
    """The first `count` tokens of the repeated filler text: a word each, with a leading space except for the first.

    Its memory use does not depend on its length.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        return islice(chain(_FIRST, chain.from_iterable(repeat(SPACED_WORDS))), self._count)

    def _token(self, place: int) -> str:
        return _FIRST[place] if place < len(_FIRST) else SPACED_WORDS[place % len(SPACED_WORDS)]

    def _first(self, count: int) -> "Prose":
        return Prose(count)


class RandomWords(ComputedTokens):
    """`count` random words, with a leading space except for the first.

    Each word is computed from `seed` and its index, so memory use does not depend on the length.
    """

    __slots__ = ("_seed",)

    def __init__(self, seed: int, count: int) -> None:
        super().__init__(count)
        self._seed = seed

    def __iter__(self) -> Iterator[str]:
        return map(self._token, range(self._count))

    def _first(self, count: int) -> "RandomWords":
        return RandomWords(self._seed, count)

    def _token(self, place: int) -> str:
        mixed = (place * 0x9E3779B97F4A7C15 ^ self._seed) & _64_BITS
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS  # splitmix64 without its last step
        return (SPACED_WORDS if place else WORDS)[(mixed >> 32) % len(WORDS)]
