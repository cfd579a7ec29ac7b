"""What the simulator says, cut into words once."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from typing import overload

from tokenfall.simulator.paragraph import WORDS

AGAIN = tuple(f" {word}" for word in WORDS)
_FIRST = (WORDS[0], *AGAIN[1:])


class Prose(Sequence[str]):
    """The first `count` tokens of an endless repetition: a word each, all but the first with the space before it.

    It holds a number, however long it is.
    """

    __slots__ = ("_count",)

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return islice(chain(_FIRST, chain.from_iterable(repeat(AGAIN))), self._count)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        places = range(self._count)[index]
        if isinstance(places, range):
            return Prose(len(places)) if places == range(len(places)) else [self[place] for place in places]
        return _FIRST[places] if places < len(_FIRST) else AGAIN[places % len(AGAIN)]


PLACES = bytes(range(len(WORDS)))
"""Of all words."""


class RandomWords(Sequence[str]):
    """Words by their `places` in `WORDS`, all but the first with a space before it.

    A million are a megabyte, and to cut or to forget them takes no time.
    """

    __slots__ = ("_places",)

    def __init__(self, places: bytes | bytearray) -> None:
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return chain(
            (WORDS[place] for place in self._places[:1]), map(AGAIN.__getitem__, islice(self._places, 1, None))
        )

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        places = range(len(self._places))[index]
        if isinstance(places, range):
            begins = places == range(len(places))
            return RandomWords(self._places[: len(places)]) if begins else [self[place] for place in places]
        return (AGAIN if places else WORDS)[self._places[places]]
