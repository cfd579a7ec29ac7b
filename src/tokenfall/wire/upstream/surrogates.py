"""Text that was divided between the halves of a UTF-16 surrogate pair. Pure.

Some providers cut a response after a number of UTF-16 units: one chunk then ends with the escape of a first half, and
the next begins with that of the second.
"""

import re
from collections.abc import Iterator
from typing import Literal

REPLACEMENT = "\ufffd"
Place = Literal["text", "thought"] | int
"""What a half belongs to; a number is that of a tool call."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")


def may_hold_halves(json_text: bytes) -> bool:
    """Whether a JSON text has the escape of any surrogate."""
    return _ESCAPED.search(json_text) is not None


def without_halves(text: str) -> str:
    """`text` with U+FFFD in place of each half."""
    return _SURROGATE.sub(REPLACEMENT, text)


class SurrogateJoiner:
    """Joins the halves that two pieces of one text divide between them; other halves become U+FFFD."""

    __slots__ = ("_halves",)

    def __init__(self) -> None:
        self._halves: dict[Place, str] = {}

    def join(self, place: Place, text: str) -> str:
        """`text` behind what was held of the piece before; a first half at its end is held."""
        if not text:
            return ""
        text = self._halves.pop(place, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            self._halves[place] = text[-1]
            text = text[:-1]
        if _SURROGATE.search(text) is None:
            return text
        return without_halves(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass"))

    def halves(self) -> Iterator[Place]:
        """The places where a half is still held."""
        return iter(self._halves)
