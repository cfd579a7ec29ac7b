"""Leases of memory that has one limit over a process, and a share for each caller."""

from __future__ import annotations

from tokenfall.memory_shares import MemoryShares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Self

    from tokenfall.errors import TokenfallError

RETRY_AFTER_S = 1.0


class LeasedMemory:
    """Base class of memories. `full` is the error above the limit, `kind` and `advice` are parts of its message.

    The first `uncounted_bytes` of each lease are not counted.
    """

    full: ClassVar[type[TokenfallError]]
    kind: ClassVar[str]
    advice: ClassVar[str]
    uncounted_bytes: ClassVar[int] = 0

    def __init__(self, max_bytes: int) -> None:
        self.shares = MemoryShares(max_bytes)

    def lease(self, caller: str) -> MemoryLease:
        """A new lease of 0 bytes, for the caller with this name."""
        return MemoryLease(self, caller)

    def resize(self, caller: str, *, before: int, after: int) -> None:
        """Replace `before` bytes of a lease by `after`. Raises `full` if it may not grow so much."""
        free = self.uncounted_bytes
        refused = self.shares.resize(caller, before=max(0, before - free), after=max(0, after - free))
        if refused:
            raise self.full(
                f"the server's memory for {self.kind} {refused}; {self.advice}", retry_after_s=RETRY_AFTER_S
            )


class MemoryLease:
    """The memory of one request or response, released at the end of its `with` block, unless `keep` was called."""

    __slots__ = ("_is_kept", "_memory", "caller", "size_bytes")

    def __init__(self, memory: LeasedMemory, caller: str) -> None:
        self._memory = memory
        self.caller = caller
        self._is_kept = False
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._is_kept or error[0] is not None:
            self.release()

    def grow(self, by_bytes: int) -> None:
        """Add to the size. Raises the memory's error, and then leaves the size as it was."""
        self.resize(self.size_bytes + by_bytes)

    def resize(self, size_bytes: int) -> None:
        """Set the size. Raises the memory's error, and then leaves it as it was."""
        self._memory.resize(self.caller, before=self.size_bytes, after=size_bytes)
        self.size_bytes = size_bytes

    def keep(self) -> Callable[[], None]:
        """Keep the memory after the `with` block, until the returned function is called. That may be called again."""
        self._is_kept = True
        return self.release

    def release(self) -> None:
        """Give the memory back."""
        self.resize(0)
