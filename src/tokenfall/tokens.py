"""The one tokenizer: what counts as a token wherever no provider counts. Pure.

A token is a word with the white space before it; white space at the end belongs to the last word. So the tokens of a
text joined are the text, and a text has as many tokens as `str.split` finds words in it. All takes linear time.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import overload

from tokenfall.slices import Sliced

SLICE_TOKENS = 1_024
SLICE_CHARACTERS = 32_768
"""Of one slice: a fraction of a millisecond, whose sum `tokenfall.slicing` bounds by the clock."""

_TOKEN = re.compile(r"\s*+\S++")
"""Linear on a text that ends with a word: each run of white space is followed by one, so nothing is tried twice."""


def tokens_of(text: str) -> list[str]:
    """`text` in its tokens; white space alone has none."""
    return [token for tokens in token_slices(text) for token in tokens]


def token_slices(text: str) -> Iterator[list[str]]:
    """The tokens of `text` in their order, in lists of at most `SLICE_TOKENS`."""
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
    """How many tokens `text` has."""
    return len(text.split())


def counted(texts: Iterator[str]) -> Sliced[int]:
    """How many tokens `texts` have together."""
    count = spent = 0
    for text in texts:
        for start in range(0, len(text), SLICE_CHARACTERS):
            part = text[start : start + SLICE_CHARACTERS]
            count += len(part.split())
            if start and not part[0].isspace() and not text[start - 1].isspace():
                count -= 1  # the word was counted with the part before
            spent += len(part)
            if spent >= SLICE_CHARACTERS:
                spent = 0
                yield
    return count


class CutText(Sequence[str]):
    """The first `count` tokens of a text that is said again and again, each cut when it is asked for.

    Half a million tokens are two megabytes so and not thirty, and to forget them takes no time. The text is repeated
    with a space before it, if it does not begin with one. `ends` are where the text's tokens end.
    """

    __slots__ = ("_count", "_ends", "_text")

    def __init__(self, text: str, ends: "array[int]", *, count: int) -> None:
        self._text = text
        self._ends = ends
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        text, start = self._text, 0
        for end in islice(self._ends, self._count):
            yield text[start:end]
            start = end
        for place in range(len(self._ends), self._count):
            yield self._token(place)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        places = range(self._count)[index]
        if isinstance(places, int):
            return self._token(places)
        if places == range(len(places)):
            return CutText(self._text, self._ends, count=len(places))
        return [self._token(place) for place in places]

    def _token(self, place: int) -> str:
        number = place % len(self._ends)
        token = self._text[self._ends[number - 1] if number else 0 : self._ends[number]]
        return token if place == number or token[0].isspace() else f" {token}"


def cut(text: str, count: int) -> Sliced[CutText]:
    """The first `count` tokens of `text`, which has at least one, said again and again."""
    ends = array("I")
    for tokens in token_slices(text):
        if ends:
            yield
        lengths = accumulate(map(len, tokens), initial=ends[-1] if ends else 0)
        ends.extend(islice(lengths, 1, None))
        if len(ends) >= count:
            break
    return CutText(text, ends, count=count)
