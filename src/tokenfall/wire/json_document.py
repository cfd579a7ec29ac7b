"""Finds the end of a JSON document in a byte stream, without parsing it. Pure.

Each byte is scanned once: the cost is linear, however the document is split into reads.
"""

import re

_MARKS = re.compile(rb'["\\{}\[\]]')
_OPENING, _CLOSING = b"{[", b"}]"


class JSONDocument:
    """Collects a JSON object or array. The first byte fed must be its first byte."""

    __slots__ = ("_depth", "_document", "_ended", "_escape_at", "_in_string")

    def __init__(self) -> None:
        self._document = bytearray()
        self._depth = 0
        self._ended = False
        self._in_string = False
        self._escape_at = -1
        """Stream position of the byte after a backslash."""

    @property
    def size_bytes(self) -> int:
        """Number of bytes fed so far."""
        return len(self._document)

    def feed(self, data: bytes) -> bytes | None:
        """The complete document if `data` ends it, else None; bytes after its end are dropped."""
        if self._ended:
            return None
        before = len(self._document)
        for mark in _MARKS.finditer(data):
            if self._ends(mark.group(), before + mark.start()):
                self._ended = True
                self._document += data[: mark.end()]
                return bytes(self._document)
        self._document += data
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
