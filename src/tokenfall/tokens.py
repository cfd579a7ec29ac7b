"""The tokenizer, used where no provider counts tokens. Pure.

A token is a word with its preceding white space; trailing white space belongs to the last token. So joining the tokens
gives the text, and the number of tokens is the number of words of `str.split`. Everything takes linear time.
"""

import re
from abc import abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import overload

from tokenfall.slicing.computation import Sliced

SLICE_TOKENS = 1_024
SLICE_CHARACTERS = 32_768
"""Sizes of one slice, which takes a fraction of a millisecond; `tokenfall.slicing` limits their total time per turn."""

_TOKEN = re.compile(r"\s*+\S++")
"""Linear on a text that ends with a word: a word follows each run of white space, so there is no backtracking."""


def tokens_of(text: str) -> list[str]:
    """The tokens of `text`; white space only has none."""
    return [token for tokens in token_slices(text) for token in tokens]


def token_slices(text: str) -> Iterator[list[str]]:
    """The tokens of `text` in order, in lists of at most `SLICE_TOKENS`."""
    body = text.rstrip()
    tail = text[len(body) :]
    words = (found[0] for found in _TOKEN.finditer(body))
    end = 0
    while tokens := list(islice(words, SLICE_TOKENS)):
        end += sum(map(len, tokens))
        if tail and end == len(body):
            tokens[-1] += tail
        yield tokens


def count_tokens(text: str) -> int:
    """The number of tokens of `text`."""
    return len(text.split())


def counted(texts: Iterator[str]) -> Sliced[int]:
    """The total number of tokens of `texts`, as a sliced computation."""
    count = spent = 0
    for text in texts:
        for start in range(0, len(text), SLICE_CHARACTERS):
            part = text[start : start + SLICE_CHARACTERS]
            count += len(part.split())
            if start and not part[0].isspace() and not text[start - 1].isspace():
                count -= 1  # the word is split between two parts and was counted twice
            spent += len(part)
            if spent >= SLICE_CHARACTERS:
                spent = 0
                yield
    return count


class ComputedTokens(Sequence[str]):
    """`count` tokens, each computed on access. A subclass computes a token, and a shorter sequence of the same kind."""

    __slots__ = ("_count",)

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        places = range(self._count)[index]
        if isinstance(places, int):
            return self._token(places)
        if places == range(len(places)):
            return self._first(len(places))
        return [self._token(place) for place in places]

    @abstractmethod
    def _token(self, place: int) -> str:
        """The token at `place`, from 0."""

    @abstractmethod
    def _first(self, count: int) -> Sequence[str]:
        """The first `count` tokens."""


class RepeatedText(ComputedTokens):
    """The first `count` tokens of an endlessly repeated text; each token is sliced from the text on access.

    So half a million tokens take two megabytes instead of thirty, and freeing them takes no time. If the text does not
    start with white space, each repetition is preceded by a space. `ends` are the end positions of the text's tokens.
    """

    __slots__ = ("_ends", "_text")

    def __init__(self, text: str, ends: "array[int]", *, count: int) -> None:
        super().__init__(count)
        self._text = text
        self._ends = ends

    def __iter__(self) -> Iterator[str]:
        text, start = self._text, 0
        for end in islice(self._ends, self._count):
            yield text[start:end]
            start = end
        for place in range(len(self._ends), self._count):
            yield self._token(place)

    def _first(self, count: int) -> "RepeatedText":
        return RepeatedText(self._text, self._ends, count=count)

    def _token(self, place: int) -> str:
        number = place % len(self._ends)
        token = self._text[self._ends[number - 1] if number else 0 : self._ends[number]]
        return token if place == number or token[0].isspace() else f" {token}"


def repeat_text(text: str, count: int) -> Sliced[RepeatedText]:
    """The first `count` tokens of `text`, which has at least one, repeated endlessly."""
    ends = array("I")
    for tokens in token_slices(text):
        if ends:
            yield
        lengths = accumulate(map(len, tokens), initial=ends[-1] if ends else 0)
        ends.extend(islice(lengths, 1, None))
        if len(ends) >= count:
            break
    return RepeatedText(text, ends, count=count)
