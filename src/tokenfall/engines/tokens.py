"""The one splitter of the simulator: what counts as a token wherever no provider counts. Pure.

A token is a word with the white space before it; white space at the end belongs to the last word. So the tokens of a
text joined are the text, and a text has as many tokens as `str.split` finds words in it.
"""

import re

_TOKEN = re.compile(r"\s*\S+(?:\s+\Z)?")


def tokens_of(text: str) -> list[str]:
    """`text` in its tokens; white space alone has none."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """How many tokens `text` has."""
    return len(text.split())
