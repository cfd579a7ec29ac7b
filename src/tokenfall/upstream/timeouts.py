"""The timeouts of an upstream's response."""

from collections.abc import Callable

from msgspec import Struct

from tokenfall.errors import (
    UpstreamFirstTokenTimeout,
    UpstreamNextTokenTimeout,
    UpstreamTimeout,
    UpstreamTotalTimeout,
)
from tokenfall.metrics.registry import Metrics
from tokenfall.ports import Wheel
from tokenfall.reactor.deadlines import Deadlined


class UpstreamTimeouts(Struct, frozen=True, kw_only=True):
    """Seconds. `first_token_s` and `total_s` count from the request and include retries; `next_token_s` counts from
    the last token.
    """

    connect_s: float = 5.0
    first_token_s: float = 30.0
    next_token_s: float = 15.0
    total_s: float = 300.0


class Watch(Deadlined):
    """Watches a response until its end, and calls `on_timeout` once when a timeout expires.

    All tries of one request share one watch, because they share the timeouts.

    Text, reasoning and tool calls count as tokens; comments, role chunks and empty chunks do not. Time in which reading
    is paused because the client is slow does not count towards `next_token_s`. A token only sets an attribute, which is
    checked when the deadline on the wheel expires. A `non_streaming` response has only the total timeout.
    """

    __slots__ = (
        "_ends_s", "_first_s", "_metrics", "_model", "_next_token_s", "_retries_end_s", "_started_s", "blocked",
        "last_token_s", "on_timeout",
    )  # fmt: skip

    def __init__(
        self,
        wheel: Wheel,
        timeouts: UpstreamTimeouts,
        *,
        started_s: float,
        non_streaming: bool = False,
        metrics: Metrics | None = None,
        model: str = "",
    ) -> None:
        """`metrics`: where the time to the first token is recorded, for `model`."""
        super().__init__(wheel)
        self._started_s = started_s
        self._metrics = metrics
        self._model = model
        self._ends_s = started_s + timeouts.total_s
        first_s = started_s + timeouts.first_token_s
        self._first_s = self._ends_s if non_streaming else first_s
        self._retries_end_s = min(first_s, self._ends_s)
        self._next_token_s = timeouts.next_token_s
        self.last_token_s = 0.0
        """Time of the last token; 0 before the first."""
        self.blocked = False
        """Whether reading is paused because the client is slow."""
        self.on_timeout: Callable[[UpstreamTimeout], None] | None = None

    @property
    def wheel(self) -> Wheel:
        """The wheel that holds its deadline."""
        return self._wheel

    def start(self, on_timeout: Callable[[UpstreamTimeout], None]) -> None:
        """Start to watch."""
        self.on_timeout = on_timeout
        self._check_later()

    def stop(self) -> None:
        """Stop watching and drop the callback."""
        self.on_timeout = None
        self.clear_deadline()

    def token(self) -> None:
        """Record a token."""
        is_first = not self.last_token_s
        self.last_token_s = self._wheel.now()
        if is_first and self._metrics is not None:
            self._metrics.upstream_began(self._model, self.last_token_s - self._started_s)

    def resume(self) -> None:
        """The client reads again: `next_token_s` counts from now."""
        self.blocked = False
        self.last_token_s = self._wheel.now()
        self.set_deadline(self._due_s())

    def expired(self) -> None:
        now = self._wheel.now()
        if self.blocked and now < self._ends_s:
            self.set_deadline(min(now + self._next_token_s, self._ends_s))
        elif now < self._due_s():
            self._check_later()
        elif self.on_timeout is not None:
            self.on_timeout(self.error())

    def first_token_left_s(self) -> float:
        """Time left for the first token."""
        return min(self._first_s, self._ends_s) - self._wheel.now()

    def retries_left_s(self) -> float:
        """Time left in which a retry may start, streaming or not."""
        return self._retries_end_s - self._wheel.now()

    def total_left_s(self) -> float:
        """Time left of the total timeout."""
        return self._ends_s - self._wheel.now()

    def error(self) -> UpstreamTimeout:
        """The error of the timeout that has expired, or expires first."""
        if self.blocked or self._due_s() == self._ends_s:
            return UpstreamTotalTimeout("the upstream's response did not end in time")
        if self.last_token_s:
            return UpstreamNextTokenTimeout("the upstream did not send the next token in time")
        return UpstreamFirstTokenTimeout("the upstream did not send the first token in time")

    def _check_later(self) -> None:
        """Set the deadline. Also at most `next_token_s` from now, because the first token sets no deadline."""
        self.set_deadline(min(self._due_s(), self._wheel.now() + self._next_token_s))

    def _due_s(self) -> float:
        token_s = self.last_token_s + self._next_token_s if self.last_token_s else self._first_s
        return min(token_s, self._ends_s)
