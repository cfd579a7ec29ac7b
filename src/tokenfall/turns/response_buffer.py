"""The text of a response so far, in the pieces in which it was generated. Pure.

A string per piece would take 60 bytes more than its text, so the text is stored in UTF-8, with the size of each piece.
One growing buffer would be reallocated again and again, and the buffers of many concurrent responses leave gaps in the
heap that none of them fits in. So the text is a list of blocks, which CPython allocates from pools without gaps.
"""

from array import array
from bisect import bisect_right
from sys import getsizeof, maxsize

BLOCK_BYTES = 512 - getsizeof(b"")
"""Size of a block, except for a larger piece. CPython's allocator has pools for objects of up to 512 bytes."""

_SURROGATES = "surrogatepass"
"""Half of a surrogate pair is stored as it is: the other half may be in the next piece."""


class ResponseBuffer:
    """An append-only text with its piece boundaries."""

    __slots__ = ("_blocks", "_blocks_bytes", "_firsts", "_last", "_sizes")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._blocks_bytes = 0
        self._last = bytearray()
        """The last block, which grows."""
        self._firsts = array("I", (0,))
        """Number of the first piece of each block, including the last."""
        self._sizes = array("B")  # of the pieces in bytes; few exceed 255

    def add(self, piece: str) -> None:
        data = piece.encode("utf-8", _SURROGATES)
        if len(self._last) + len(data) > BLOCK_BYTES and self._last:
            self._complete_block()
        self._last += data
        try:
            self._sizes.append(len(data))
        except OverflowError:
            self._sizes = array("I", self._sizes)
            self._sizes.append(len(data))

    def _complete_block(self) -> None:
        block = bytes(self._last)
        self._blocks.append(block)
        self._blocks_bytes += getsizeof(block)
        self._firsts.append(len(self._sizes))
        self._last = bytearray()

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self._sizes)

    def text(self) -> str:
        return b"".join((*self._blocks, self._last)).decode("utf-8", _SURROGATES)

    def since(self, position: int, most: int = maxsize, *, max_bytes: int = maxsize) -> list[str]:
        """At most `most` of the pieces after the first `position`, up to the one that exceeds `max_bytes`."""
        pieces: list[str] = []
        firsts, sizes = self._firsts, self._sizes
        end = min(len(sizes), position + most)
        if max_bytes < maxsize:
            end = self._end_within(max_bytes, position, end=end)
        number = bisect_right(firsts, position) - 1
        while position < end:
            is_last = number == len(self._blocks)
            block = self._last if is_last else self._blocks[number]
            start = sum(sizes[firsts[number] : position])
            block_end = end if is_last else min(end, firsts[number + 1])
            for size in sizes[position:block_end]:
                pieces.append(block[start : start + size].decode("utf-8", _SURROGATES))
                start += size
            position = block_end
            number += 1
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
        own = getsizeof(self._blocks) + getsizeof(self._last) + getsizeof(self._firsts) + getsizeof(self._sizes)
        return self._blocks_bytes + own
