"""Leases of a server's memory for requests and for responses. Each has one limit, and a share for each caller. Pure."""

from __future__ import annotations

from tokenfall.errors import RequestMemoryFull, ResponseMemoryFull
from tokenfall.memory.shares import SHARE_IN_USE, MemoryShares
from tokenfall.metrics.registry import add

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Self

    from tokenfall.errors import TokenfallError
    from tokenfall.metrics.registry import Metrics

RETRY_AFTER_S = 1.0


class LeasedMemory:
    """Base class: memory with a limit. `full` is the error above it, `kind` and `advice` are parts of its message.

    The first `uncounted_bytes` of each lease are not counted. `gauge` is the metric with the bytes of all leases;
    refusals are counted in the metric `memory_refused` with the label `name`.
    """

    full: ClassVar[type[TokenfallError]]
    kind: ClassVar[str]
    advice: ClassVar[str]
    uncounted_bytes: ClassVar[int] = 0
    name: ClassVar[str]
    gauge: ClassVar[str]

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._metrics = metrics
        self.shares = MemoryShares(max_bytes, on_change=self._changed, on_refusal=self._refused)

    def lease(self, caller: str) -> MemoryLease:
        """A new lease of 0 bytes, for the caller with this name."""
        return MemoryLease(self, caller)

    def resize(self, caller: str, *, before: int, after: int) -> None:
        """Replace `before` bytes of a lease by `after`. Raises `full` above the limit or the caller's share."""
        free = self.uncounted_bytes
        refused = self.shares.resize(caller, before=max(0, before - free), after=max(0, after - free))
        if refused:
            raise self.full(
                f"the server's memory for {self.kind} {refused}; {self.advice}", retry_after_s=RETRY_AFTER_S
            )

    def _changed(self, held_bytes: int) -> None:
        setattr(self._metrics, self.gauge, held_bytes)

    def _refused(self, reason: str) -> None:
        add(self._metrics.memory_refused, (self.name, "share" if reason == SHARE_IN_USE else "limit"))


class RequestMemory(LeasedMemory):
    """The memory of requests that are being served: requests to the upstream until its first token, and running chats.

    It is one memory with the request bodies that are being received (`tokenfall.http.body_memory`). Ordinary requests
    and chats are not counted: a load generator or a gateway, which is one caller, may run thousands.
    """

    uncounted_bytes = 32_768
    full = RequestMemoryFull
    name = "requests"
    kind = "requests"
    gauge = "request_memory_bytes"
    advice = "send less at once, or try again later"


class ResponseMemory(LeasedMemory):
    """The memory of responses that are held complete.

    Such a response cannot be forwarded or generated while its client reads it, for example because it is translated
    from the events of a stream. Each has a lease for what it holds, and releases it at its end.
    """

    full = ResponseMemoryFull
    name = "responses"
    kind = "complete responses"
    gauge = "response_memory_bytes"
    advice = "request a stream, or try again later"


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
