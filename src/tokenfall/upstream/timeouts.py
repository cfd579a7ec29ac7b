"""The deadlines of an upstream's response."""

from collections.abc import Callable

from msgspec import Struct

from tokenfall.errors import (
    UpstreamFirstTokenTimeout,
    UpstreamNextTokenTimeout,
    UpstreamTimeout,
    UpstreamTotalTimeout,
)
from tokenfall.ports import Wheel
from tokenfall.reactor.deadlines import Deadlined


class UpstreamTimeouts(Struct, frozen=True, kw_only=True):
    """Seconds. The first token and the total run from the request, retries included; a next token from the last."""

    connect_s: float = 5.0
    first_token_s: float = 30.0
    next_token_s: float = 15.0
    total_s: float = 300.0


class Watch(Deadlined):
    """Watches a response until its end, and calls `late` once when a deadline passes.

    The tries of one request share a watch, because they share its time.

    Only text, reasoning and tool calls are progress; comments, role chunks and empty chunks are not. Time in which
    nothing is read, because the client is slow, does not count. A token costs one attribute; the wheel looks at it when
    a deadline may have passed. A `whole` response, which is no stream, has only the total time.
    """

    __slots__ = ("_ends_s", "_first_s", "_next_token_s", "blocked", "last_token_s", "late")

    def __init__(self, wheel: Wheel, timeouts: UpstreamTimeouts, *, started_s: float, whole: bool = False) -> None:
        super().__init__(wheel)
        self._ends_s = started_s + timeouts.total_s
        self._first_s = self._ends_s if whole else started_s + timeouts.first_token_s
        self._next_token_s = timeouts.next_token_s
        self.last_token_s = 0.0
        """When the last token came; 0 before the first."""
        self.blocked = False
        """Whether the client makes the upstream wait."""
        self.late: Callable[[UpstreamTimeout], None] | None = None

    @property
    def wheel(self) -> Wheel:
        """Where it waits."""
        return self._wheel

    def start(self, late: Callable[[UpstreamTimeout], None]) -> None:
        """Begin to watch."""
        self.late = late
        self.set_deadline(self._due_s())

    def stop(self) -> None:
        """Let go."""
        self.late = None
        self.clear_deadline()

    def token(self) -> None:
        """A token has come."""
        began = not self.last_token_s
        self.last_token_s = self._wheel.now()
        if began:
            self.set_deadline(self._due_s())

    def resume(self) -> None:
        """The client takes tokens again: the wait for the next one begins now."""
        self.blocked = False
        self.last_token_s = self._wheel.now()
        self.set_deadline(self._due_s())

    def expired(self) -> None:
        now = self._wheel.now()
        if self.blocked and now < self._ends_s:
            self.set_deadline(min(now + self._next_token_s, self._ends_s))
        elif now < self._due_s():
            self.set_deadline(self._due_s())
        elif self.late is not None:
            self.late(self.error())

    def begins_in_s(self) -> float:
        """What is left for the first token to come."""
        return min(self._first_s, self._ends_s) - self._wheel.now()

    def ends_in_s(self) -> float:
        """How long the whole may still take."""
        return self._ends_s - self._wheel.now()

    def error(self) -> UpstreamTimeout:
        """The deadline that passes first, or has passed."""
        if self.blocked or self._due_s() == self._ends_s:
            return UpstreamTotalTimeout("the upstream did not end in time")
        if self.last_token_s:
            return UpstreamNextTokenTimeout("the upstream did not go on in time")
        return UpstreamFirstTokenTimeout("the upstream did not begin to answer in time")

    def _due_s(self) -> float:
        token_s = self.last_token_s + self._next_token_s if self.last_token_s else self._first_s
        return min(token_s, self._ends_s)
