"""The text of a response so far, in the pieces in which it was generated. Pure.

A string per piece would take 60 bytes more than its text, so the text is stored in UTF-8, with the size of each piece.
One growing buffer would be reallocated again and again, and the buffers of many concurrent responses leave gaps in the
heap that none of them fits in. So the text is a list of blocks, each of `BLOCK` pieces.
"""

from array import array
from sys import getsizeof, maxsize

BLOCK = 64
"""Pieces per block. A block of usual tokens is smaller than 512 bytes, which CPython allocates without gaps."""

_SURROGATES = "surrogatepass"
"""Half of a surrogate pair is stored as it is: the other half may be in the next piece."""


class ResponseBuffer:
    """An append-only text with its piece boundaries."""

    __slots__ = ("_blocks", "_blocks_bytes", "_sizes", "_tail")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._blocks_bytes = 0
        self._tail = bytearray()  # the pieces after the last block
        self._sizes = array("B")  # in bytes; few pieces exceed 255

    def add(self, piece: str) -> None:
        data = piece.encode("utf-8", _SURROGATES)
        sizes = self._sizes
        if not len(sizes) % BLOCK and sizes:
            self._complete_block()
        self._tail += data
        try:
            sizes.append(len(data))
        except OverflowError:
            self._sizes = array("I", sizes)
            self._sizes.append(len(data))

    def _complete_block(self) -> None:
        block = bytes(self._tail)
        self._blocks.append(block)
        self._blocks_bytes += getsizeof(block)
        self._tail = bytearray()

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self._sizes)

    def text(self) -> str:
        return b"".join((*self._blocks, self._tail)).decode("utf-8", _SURROGATES)

    def since(self, position: int, most: int = maxsize) -> list[str]:
        """At most `most` of the pieces after the first `position`."""
        pieces: list[str] = []
        end = min(len(self._sizes), position + most)
        while position < end:
            number, first = divmod(position, BLOCK)
            block = self._blocks[number] if number < len(self._blocks) else self._tail
            start = sum(self._sizes[position - first : position])
            for size in self._sizes[position : min(end, position - first + BLOCK)]:
                pieces.append(block[start : start + size].decode("utf-8", _SURROGATES))
                start += size
                position += 1
        return pieces

    def size_bytes(self) -> int:
        """Memory of the text and of the sizes. Takes the same time for any text."""
        return self._blocks_bytes + getsizeof(self._blocks) + getsizeof(self._tail) + getsizeof(self._sizes)
