"""Joins UTF-16 surrogate pairs that were split between chunks. Pure.

Some providers split a response by UTF-16 code units: one chunk then ends with the escape of a high surrogate, and the
next begins with that of the low surrogate.
"""

import re
from collections.abc import Iterator
from typing import Literal

REPLACEMENT = "\ufffd"
Place = Literal["text", "thought"] | int
"""Identifies the text that a surrogate belongs to; a number is the index of a tool call."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")


def has_surrogate_escape(json_text: bytes) -> bool:
    """Whether a JSON text contains the escape of a surrogate."""
    return _ESCAPED.search(json_text) is not None


def without_surrogates(text: str) -> str:
    """`text` with U+FFFD in place of each surrogate."""
    return _SURROGATE.sub(REPLACEMENT, text)


class SurrogateJoiner:
    """Joins surrogate pairs that are split between two deltas of one text; unpaired surrogates become U+FFFD."""

    __slots__ = ("_halves",)

    def __init__(self) -> None:
        self._halves: dict[Place, str] = {}

    def join(self, place: Place, text: str) -> str:
        """`text` after the surrogate buffered from the previous delta; a high surrogate at its end is buffered."""
        if not text:
            return ""
        text = self._halves.pop(place, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            self._halves[place] = text[-1]
            text = text[:-1]
        if _SURROGATE.search(text) is None:
            return text
        return without_surrogates(text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"))

    def halves(self) -> Iterator[Place]:
        """The texts with a buffered surrogate, at the end of the stream."""
        return iter(self._halves)
