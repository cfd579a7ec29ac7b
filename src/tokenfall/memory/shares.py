"""Memory with one limit, in which each caller leaves room for the others. Pure.

A caller may hold at most as much as remains free: one caller alone gets half of the memory, and each of `n` callers
that take all they can gets 1 / (n + 1) (dynamic thresholds: Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

IN_USE = "is in use"
SHARE_IN_USE = "is in use by this caller, up to its share"


def ignore(_: object) -> None:
    """The default of a callback."""


class MemoryShares:
    """At most `max_bytes` for all callers. A caller is the name of an API key or of a client address."""

    def __init__(
        self,
        max_bytes: int,
        *,
        on_change: "Callable[[int], object]" = ignore,
        on_refusal: "Callable[[str], object]" = ignore,
    ) -> None:
        """`on_change` gets the bytes held by all callers, `on_refusal` the reason of each refusal: both for metrics."""
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._on_change = on_change
        self._on_refusal = on_refusal
        self._callers: dict[str, int] = {}

    def resize(self, caller: str, *, before: int, after: int, always: bool = False) -> str:
        """Replace `before` bytes of `caller` by `after`, and return "".

        Otherwise return why the caller may not grow, unless `always`: `IN_USE` or `SHARE_IN_USE`.
        """
        if after == before:
            return ""
        held_bytes = self.held_bytes + after - before
        own_bytes = self._callers.get(caller, 0) + after - before
        if after > before and not always:
            refused = IN_USE if held_bytes > self.max_bytes else ""
            if not refused and own_bytes > self.max_bytes - held_bytes:
                refused = SHARE_IN_USE
            if refused:
                self._on_refusal(refused)
                return refused
        self.held_bytes = held_bytes
        self._on_change(held_bytes)
        if own_bytes:
            self._callers[caller] = own_bytes
        else:
            self._callers.pop(caller, None)
        return ""
