"""Finds the end of a JSON document in a byte stream, without parsing it. Pure.

Every byte is looked at once, so the cost is linear however the reads cut the document.
"""

import re

_MARKS = re.compile(rb'["\\{}\[\]]')
_OPENING, _CLOSING = b"{[", b"}]"


class JSONDocument:
    """Collects an object or an array, whose first byte is fed first."""

    __slots__ = ("_depth", "_ended", "_escape_at", "_in_string", "_pieces", "size_bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._depth = 0
        self._ended = False
        self._in_string = False
        self._escape_at = -1
        """Where in the stream the byte after a backslash is."""
        self.size_bytes = 0

    def feed(self, data: bytes) -> bytes | None:
        """The whole document once `data` ends it; bytes after its end are dropped."""
        if self._ended:
            return None
        for mark in _MARKS.finditer(data):
            if self._ends(mark.group(), self.size_bytes + mark.start()):
                self._ended = True
                self._pieces.append(data[: mark.end()])
                return b"".join(self._pieces)
        self._pieces.append(data)
        self.size_bytes += len(data)
        return None

    def _ends(self, mark: bytes, position: int) -> bool:
        if self._in_string:
            if position == self._escape_at:
                return False
            if mark == b"\\":
                self._escape_at = position + 1
            elif mark == b'"':
                self._in_string = False
            return False
        if mark == b'"':
            self._in_string = True
        elif mark in _OPENING:
            self._depth += 1
        elif mark in _CLOSING:
            self._depth -= 1
            return self._depth == 0
        return False
