"""The memory of responses that are held complete, limited over a process.

Such a response cannot be forwarded or generated while its client reads it, for example because it is translated from
the events of a stream. Each has a lease for what it holds, and releases it at its end.
"""

from __future__ import annotations

from tokenfall.errors import ResponseMemoryFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from tokenfall.metrics import Metrics

RETRY_AFTER_S = 1.0


class ResponseMemory:
    """At most `max_bytes` for all leases together. The sum is the metric `response_memory_bytes`."""

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._max_bytes = max_bytes
        self._metrics = metrics

    def lease(self) -> ResponseLease:
        """A new lease, of 0 bytes."""
        return ResponseLease(self)

    def resize(self, before: int, after: int) -> None:
        """Replace `before` bytes of a lease by `after`. Raises `ResponseMemoryFull` if it grows above the limit."""
        held_bytes = self._metrics.response_memory_bytes + after - before
        if after > before and held_bytes > self._max_bytes:
            raise ResponseMemoryFull(
                "the server's memory for complete responses is in use; request a stream, or try again later",
                retry_after_s=RETRY_AFTER_S,
            )
        self._metrics.response_memory_bytes = held_bytes


class ResponseLease:
    """The memory of one response, released at the end of its `with` block, unless `keep` was called in it."""

    __slots__ = ("_is_kept", "_memory", "size_bytes")

    def __init__(self, memory: ResponseMemory) -> None:
        self._memory = memory
        self._is_kept = False
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._is_kept or error[0] is not None:
            self.release()

    def grow(self, by_bytes: int) -> None:
        """Add to the size. Raises `ResponseMemoryFull`, and then leaves the size as it was."""
        self.resize(self.size_bytes + by_bytes)

    def resize(self, size_bytes: int) -> None:
        """Set the size. Raises `ResponseMemoryFull`, and then leaves it as it was."""
        self._memory.resize(self.size_bytes, size_bytes)
        self.size_bytes = size_bytes

    def keep(self) -> Callable[[], None]:
        """Keep the memory after the `with` block, until the returned function is called. That may be called again."""
        self._is_kept = True
        return self.release

    def release(self) -> None:
        """Give the memory back."""
        self.resize(0)
