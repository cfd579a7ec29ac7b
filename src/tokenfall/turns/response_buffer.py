"""The text of a response so far, in the pieces in which it was generated. Pure.

A string per piece would take 60 bytes more than its text, so the text is one UTF-8 buffer, with the size of each piece.
"""

from array import array
from sys import getsizeof, maxsize

from tokenfall.utf8 import SURROGATES, TextBuffer

INDEXED = 256
"""Every so many pieces, the position of a piece in the buffer is stored, to find any piece in constant time."""


class ResponseBuffer(TextBuffer):
    """A text with its piece boundaries."""

    __slots__ = ("_sizes", "_starts")

    def __init__(self) -> None:
        super().__init__()
        self._sizes = array("B")  # in bytes; few pieces exceed 255
        self._starts: list[int] = []  # of the pieces number INDEXED, 2 * INDEXED, ...

    def add(self, text: str) -> None:
        data = text.encode("utf-8", SURROGATES)
        sizes = self._sizes
        if not len(sizes) % INDEXED and sizes:
            self._starts.append(len(self._data))
        self._data += data
        try:
            sizes.append(len(data))
        except OverflowError:
            self._sizes = array("I", sizes)
            self._sizes.append(len(data))

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self._sizes)

    def since(self, position: int, most: int = maxsize, *, max_bytes: int = maxsize) -> list[str]:
        """At most `most` of the pieces after the first `position`, up to the one that exceeds `max_bytes`."""
        end = min(len(self._sizes), position + most)
        if position >= end:
            return []
        if max_bytes < maxsize:
            end = self._end_within(max_bytes, position, end=end)
        indexed = position // INDEXED
        start = self._starts[indexed - 1] if indexed else 0
        start += sum(self._sizes[indexed * INDEXED : position])
        pieces = []
        for size in self._sizes[position:end]:
            pieces.append(self._data[start : start + size].decode("utf-8", SURROGATES))
            start += size
        return pieces

    def _end_within(self, max_bytes: int, position: int, *, end: int) -> int:
        """The position after the piece that exceeds `max_bytes`, at most `end`."""
        for at in range(position, end):
            max_bytes -= self._sizes[at]
            if max_bytes <= 0:
                return at + 1
        return end

    def size_bytes(self) -> int:
        """Memory of the text and of the sizes. Takes the same time for any text."""
        return getsizeof(self._data) + getsizeof(self._sizes) + getsizeof(self._starts)
