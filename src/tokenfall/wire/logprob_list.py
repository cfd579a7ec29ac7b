"""Collects encoded log probabilities, limited in size. Pure."""

from tokenfall.errors import UpstreamMalformed

MAX_BYTES = 16_777_216
"""For the log probabilities that are held for one response."""


class LogprobList:
    """The log probabilities of consecutive tokens, as in `TextDelta.logprobs`."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items = bytearray()

    def add(self, items: bytes) -> None:
        """Append items. Raises `UpstreamMalformed` above the limit."""
        if not items:
            return
        if len(self._items) + len(items) > MAX_BYTES:
            raise UpstreamMalformed(f"the upstream's response has more than {MAX_BYTES} bytes of log probabilities")
        if self._items:
            self._items += b","
        self._items += items

    def take(self) -> bytes:
        """All items; the list is empty then."""
        items = bytes(self._items)
        self._items.clear()
        return items
