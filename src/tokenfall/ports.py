"""The interfaces between the application logic and its implementations.

Each Protocol is documented here, and implementations do not repeat that. Only `tokenfall.bootstrap` selects
implementations.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from tokenfall.conversations import DEFAULT_PAGE_SIZE, Claim, Conversation, ConversationInfo, Turn, TurnEnd
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.messages import ChatRequest
from tokenfall.rate_limit import LimitDecision


class TimerEntry(Protocol):
    """An entry of a timer wheel."""

    slot: int | None
    """Slot of the entry in the wheel; None while it is not scheduled. Only the wheel writes it."""

    deadline_s: float
    """The deadline passed to `Wheel.schedule`. Only the wheel writes it."""

    def due(self, now_s: float) -> float | None:
        """Called once per deadline. Return the next deadline, or None for no further call.

        `now_s` is the wheel's monotonic time. Must not block. An exception is logged and removes only this entry.
        """
        ...


class Wheel(Protocol):
    """The timer wheel of all deadlines: the next token of each stream and the timeouts of connections."""

    @property
    def resolution_s(self) -> float:
        """Maximum delay of an entry in an idle loop, seconds."""
        ...

    def now(self) -> float:
        """Monotonic seconds, the time scale of all deadlines."""
        ...

    def schedule(self, entry: TimerEntry, deadline_s: float) -> None:
        """Call `entry.due` at `deadline_s` or up to one slot later, never earlier. Reschedules a scheduled entry.

        An entry with a past deadline is called in the next loop iteration.
        """
        ...

    def cancel(self, entry: TimerEntry) -> None:
        """Remove the entry; no effect if it is not scheduled."""
        ...


class Clock(Protocol):
    """Clock and timer for coroutines."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    async def sleep_until(self, deadline_s: float) -> None:
        """Return at `deadline_s`; if it has passed, at once or after one loop iteration. May be cancelled."""
        ...


class Barrier(Protocol):
    """A point at which a stream waits for an event other than a deadline."""

    def passes(self, resume: Callable[[], None]) -> bool:
        """Whether the stream may continue; if not, `resume` is called once when `passes` should be called again."""
        ...

    def cancel_wait(self, resume: Callable[[], None]) -> None:
        """Cancel the wait with this callback."""
        ...


OnDelta = Callable[[TextDelta | ReasoningDelta], Awaitable[None] | None]
"""Event callback. It must not raise or block. If it returns an awaitable, the consumer is slow: the engine must await
it before producing more; events reported meanwhile are buffered."""


class Engine(Protocol):
    """Generates responses."""

    async def reply(self, request: ChatRequest, on_event: OnDelta) -> Finished:
        """Generate the response: report each delta to `on_event`, and return the final event.

        `ReasoningDelta` is reported only if the request sets `reports_reasoning`.

        Raises a `TokenfallError` on failure. Cancelling ends all work for the response; an upstream connection closes
        within 250 ms.
        """
        ...


class HistoryStore(Protocol):
    """Stores conversations. A turn is two messages, which are stored and deleted together.

    Every method raises `StoreUnavailable` while the store fails, and works again once the store does, without a
    reconnect by the caller. Cancelling a caller never cancels a write in progress, and never mixes up replies.
    """

    def append(self, conversation: Conversation, turn: Turn) -> Awaitable[None]:
        """Store `turn` as the newest; once awaited it is as durable as the store guarantees.

        Returns `tokenfall.slicing.computation.NOTHING` if the turn is stored when the call returns.

        The turn that it replaces and all later ones are deleted atomically with the write; if that turn no longer
        exists, nothing is deleted. The oldest turns are deleted to enforce the store's limit of messages. Appending the
        same turn (by id) again, because the result of the first call is unknown, stores it once.
        """
        ...

    async def turns(
        self, conversation: Conversation, last: int | None = None, *, until: str = "", max_bytes: int | None = None
    ) -> Sequence[Turn] | None:
        """The newest `last` turns (all for None), oldest first; None if the conversation does not exist.

        `until` is the id of the newest turn to return, "" for the newest of all; the result is empty if that turn does
        not exist. Older turns are omitted from the first whose size, with that of all newer ones, exceeds `max_bytes`;
        the newest never is.
        """
        ...

    async def size_bytes(self, conversation: Conversation) -> int:
        """About the memory that all of its turns need when they are read; 0 if the conversation does not exist."""
        ...

    async def clear(self, conversation: Conversation) -> bool:
        """Delete the conversation; False if it did not exist."""
        ...

    async def conversations(
        self, owner: str, *, limit: int = DEFAULT_PAGE_SIZE, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        """At most `limit` conversations of `owner` after the one with the id `after`, most recently active first.

        A page may be shorter if conversations have just expired; it is empty after the last one. Raises `NotFound` if
        `after` does not exist.
        """
        ...

    async def texts(self, owner: str, ids: Sequence[str]) -> Sequence[Iterable[str] | None]:
        """The texts of the first of these conversations, at least one; None for one that does not exist.

        Later texts of a very long conversation may be missing.
        """
        ...

    async def rename(self, conversation: Conversation, title: str) -> bool:
        """Set the title; False if the conversation does not exist. Does not change its last activity."""
        ...

    async def pin(self, conversation: Conversation, pinned: bool) -> bool:
        """Mark the conversation as pinned or not; False if it does not exist. Does not change its last activity."""
        ...

    async def check(self) -> None:
        """Return if the store can be read and written now. Raises `StoreUnavailable`, within a probe's timeout."""
        ...

    async def close(self) -> None:
        """Finish writes in progress and release all resources. No method may be called afterwards."""
        ...


class LiveTurn(Protocol):
    """A running turn of this process, to be published to other processes."""

    id: str
    conversation: Conversation
    idempotency_key: str
    """The idempotency key bound to the turn, "" without one. It is free again if the turn produced no text."""
    end: TurnEnd | None

    def since(self, position: int, *, max_bytes: int) -> list[str]:
        """The pieces of the response after the first `position`, up to the one that exceeds `max_bytes`."""
        ...

    def stop(self) -> None:
        """End the turn now, as interrupted; no effect if it has ended."""
        ...


class SharedTurns(Protocol):
    """The running turns of all processes. Coroutines raise `StoreUnavailable`."""

    def publish(self, turn: LiveTurn) -> None:
        """Publish `turn` to other processes until it has ended. Never blocks or raises: the copy may lag or be lost."""
        ...

    async def follow(self, owner: str, turn: str, *, after: int) -> "Followed":
        """Follow a turn of `owner`, starting after its first `after` pieces. Raises `NotFound` and `ResumeExpired`."""
        ...

    async def stop(self, owner: str, turn: str) -> None:
        """Stop the turn in the process that runs it; return once it has ended. Raises `NotFound` and `TurnLost`."""
        ...

    async def claim(self, owner: str, key: str, *, claim: Claim) -> Claim | None:
        """Bind `key` to the turn of `claim` and return None; if the key is bound already, return its existing claim."""
        ...

    async def check(self) -> None:
        """Return if the store can be reached. Raises `StoreUnavailable`."""
        ...

    async def close(self) -> None:
        """Publish the remaining events, and release all resources."""
        ...


class Followed(Protocol):
    """A turn that is being followed."""

    id: str
    conversation: Conversation
    after: int
    """Number of pieces of the response that are skipped."""

    async def run(self, on_event: OnDelta) -> Finished:
        """Report the existing and the following pieces; return the final event, or raise the error that ended the turn.

        The rules of `Engine.reply` apply. Cancelling stops following the turn.
        """
        ...


class RateLimiter(Protocol):
    """Limits the rate of requests per client."""

    burst: int
    """Maximum number of requests at once."""

    rate: float
    """Requests per second."""

    async def take(self, client: str) -> LimitDecision:
        """Count one request of `client`, an opaque string. A refused request does not count."""
        ...


class Fetch(Protocol):
    """Sends a non-streaming request to the upstream."""

    async def __call__(self, path: str, body: bytes, *, caller: str, on_size: Callable[[int], None]) -> bytes:
        """The response body of `POST path`, relative to the upstream's base address. Raises an `UpstreamError`.

        `caller` is the name of the caller. `on_size` is called with the size received so far; a `TokenfallError` that
        it raises ends the request.
        """
        ...
