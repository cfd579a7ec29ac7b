"""The text of a response so far, in the pieces in which it was generated. Pure.

A string per token costs 60 bytes more than its text. So pieces are joined and their lengths kept, to split the joined
text into the same pieces again.
"""

from array import array
from sys import getsizeof, maxsize

JOINED = 16
"""Number of pieces that are joined into one string."""

MOST_IN_A_BYTE = 255


class ResponseBuffer:
    """An append-only text that keeps its piece boundaries."""

    __slots__ = ("_joined", "_joined_bytes", "_lengths", "_pieces")

    def __init__(self) -> None:
        self._joined: list[str] = []
        self._joined_bytes = 0
        self._lengths = array("B")  # of the pieces, JOINED for each text of `_joined`; few exceed 255
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        pieces = self._pieces
        pieces.append(piece)
        if len(pieces) == JOINED:
            self._join(pieces)

    def _join(self, pieces: list[str]) -> None:
        lengths = list(map(len, pieces))
        if max(lengths) > MOST_IN_A_BYTE and self._lengths.typecode == "B":
            self._lengths = array("I", self._lengths)
        self._lengths.extend(lengths)
        text = "".join(pieces)
        self._joined.append(text)
        self._joined_bytes += getsizeof(text)
        pieces.clear()

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self._lengths) + len(self._pieces)

    def text(self) -> str:
        return "".join((*self._joined, *self._pieces))

    def since(self, position: int, most: int = maxsize) -> list[str]:
        """At most `most` of the pieces after the first `position`."""
        joined = len(self._lengths)
        if position >= joined:
            return self._pieces[position - joined :][:most]
        cut: list[str] = []
        first = position // JOINED
        skipped = position - first * JOINED
        for number in range(first, len(self._joined)):
            if len(cut) - skipped >= most:
                return cut[skipped : skipped + most]
            text, start = self._joined[number], 0
            for length in self._lengths[number * JOINED : (number + 1) * JOINED]:
                cut.append(text[start : start + length])
                start += length
        return (cut[skipped:] + self._pieces)[:most]

    def size_bytes(self) -> int:
        """Memory of the text and of the lengths. Takes the same time for any text."""
        return self._joined_bytes + sum(map(getsizeof, self._pieces)) + self._lengths.itemsize * len(self._lengths)
