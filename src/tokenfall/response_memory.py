"""The memory of responses that are held complete.

Such a response cannot be forwarded or generated while its client reads it, for example because it is translated from
the events of a stream. Each has a lease for what it holds, and releases it at its end.
"""

from __future__ import annotations

from tokenfall.errors import ResponseMemoryFull
from tokenfall.memory_leases import LeasedMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.metrics import Metrics


class ResponseMemory(LeasedMemory):
    """At most `max_bytes` for all leases together. The sum is the metric `response_memory_bytes`."""

    full = ResponseMemoryFull
    kind = "complete responses"
    advice = "request a stream, or try again later"

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        super().__init__(max_bytes)
        self._metrics = metrics

    def resize(self, caller: str, *, before: int, after: int) -> None:
        super().resize(caller, before=before, after=after)
        self._metrics.response_memory_bytes = self.shares.held_bytes
