"""Memory with one limit, in which each caller leaves room for the others. Pure.

A caller may hold at most as much as remains free: one caller alone gets half of the memory, and each of `n` callers
that take all they can gets 1 / (n + 1) (dynamic thresholds: Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998).
"""

IN_USE = "is in use"
SHARE_IN_USE = "is in use by this caller, up to its share"


class MemoryShares:
    """At most `max_bytes` for all callers. A caller is the name of an API key or of a client address."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._callers: dict[str, int] = {}

    def resize(self, caller: str, *, before: int, after: int, always: bool = False) -> str:
        """Replace `before` bytes of `caller` by `after`, and return "".

        Otherwise return why the caller may not grow, unless `always`: `IN_USE` or `SHARE_IN_USE`.
        """
        held_bytes = self.held_bytes + after - before
        own_bytes = self._callers.get(caller, 0) + after - before
        if after > before and not always:
            if held_bytes > self.max_bytes:
                return IN_USE
            if own_bytes > self.max_bytes - held_bytes:
                return SHARE_IN_USE
        self.held_bytes = held_bytes
        if own_bytes:
            self._callers[caller] = own_bytes
        else:
            self._callers.pop(caller, None)
        return ""
