"""Token sequences of the simulator that are computed instead of stored: repeated filler text, and random words."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from typing import overload

from tokenfall.simulator.paragraph import WORDS

SPACED_WORDS = tuple(f" {word}" for word in WORDS)
_FIRST = (WORDS[0], *SPACED_WORDS[1:])
_64_BITS = 2**64 - 1


class Prose(Sequence[str]):
    """The first `count` tokens of the repeated filler text: a word each, with a leading space except for the first.

    Its memory use does not depend on its length.
    """

    __slots__ = ("_count",)

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return islice(chain(_FIRST, chain.from_iterable(repeat(SPACED_WORDS))), self._count)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        places = range(self._count)[index]
        if isinstance(places, range):
            return Prose(len(places)) if places == range(len(places)) else [self[place] for place in places]
        return _FIRST[places] if places < len(_FIRST) else SPACED_WORDS[places % len(SPACED_WORDS)]


class RandomWords(Sequence[str]):
    """`count` random words, with a leading space except for the first.

    Each word is computed from `seed` and its index, so memory use does not depend on the length.
    """

    __slots__ = ("_count", "_seed")

    def __init__(self, seed: int, count: int) -> None:
        self._seed = seed
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return map(self._word, range(self._count))

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        places = range(self._count)[index]
        if isinstance(places, range):
            begins = places == range(len(places))
            return RandomWords(self._seed, len(places)) if begins else [self._word(place) for place in places]
        return self._word(places)

    def _word(self, number: int) -> str:
        mixed = (number * 0x9E3779B97F4A7C15 ^ self._seed) & _64_BITS
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS  # splitmix64 without its last step
        return (SPACED_WORDS if number else WORDS)[(mixed >> 32) % len(WORDS)]
