"""The one tokenizer: what counts as a token wherever no provider counts. Pure.

A token is a word with the white space before it; white space at the end belongs to the last word. So the tokens of a
text joined are the text, and a text has as many tokens as `str.split` finds words in it. All takes linear time.
"""

import re
from collections.abc import Iterator
from itertools import islice

from tokenfall.slices import Sliced

SLICE_TOKENS = 4_096
SLICE_CHARACTERS = 131_072

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
