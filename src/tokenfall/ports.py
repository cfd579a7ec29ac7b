"""The borders between what Tokenfall decides and how it is done.

Each Protocol is documented here once; an implementation repeats nothing. Only `tokenfall.bootstrap` chooses
implementations.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tokenfall.conversations import LISTED, Claim, Conversation, ConversationInfo, Turn, TurnEnd
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.messages import ChatRequest
from tokenfall.rate_limit import LimitDecision


class TimerEntry(Protocol):
    """Something that waits on a wheel."""

    slot: int | None
    """The wheel's own number for where it waits, None while it waits for nothing. Written by the wheel alone."""

    deadline_s: float
    """The deadline it was joined with. Written by the wheel."""

    def due(self, now_s: float) -> float | None:
        """Act, and return the next deadline, or None to leave the wheel. Called once for each deadline.

        `now_s` is the wheel's monotonic time. Must not block. An exception is logged and ends this entry only.
        """
        ...


class Wheel(Protocol):
    """One timer for everything that waits: the next token of each stream and each deadline of a connection."""

    @property
    def resolution_s(self) -> float:
        """How late an entry may be called while the loop has time, seconds."""
        ...

    def now(self) -> float:
        """Monotonic seconds, the scale of every deadline."""
        ...

    def join(self, entry: TimerEntry, deadline_s: float) -> None:
        """Call `entry.due` at `deadline_s` or up to one slot later, never earlier. An entry that waits is moved.

        A deadline that has passed is due in the next turn.
        """
        ...

    def leave(self, entry: TimerEntry) -> None:
        """Forget the entry at once; harmless when it does not wait."""
        ...


class Clock(Protocol):
    """Time for code that awaits."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    async def sleep_until(self, deadline_s: float) -> None:
        """Return at `deadline_s`, at once or after a turn of the other tasks when it has passed.

        Cancelling frees everything.
        """
        ...


class Barrier(Protocol):
    """A place where a stream waits for something other than time."""

    def passes(self, resume: Callable[[], None]) -> bool:
        """Whether to go on now; if not, `resume` is called once when it is worth asking again."""
        ...

    def forget(self, resume: Callable[[], None]) -> None:
        """Who waited waits no more."""
        ...


OnDelta = Callable[[TextDelta | ReasoningDelta], Awaitable[None] | None]
"""Who hears an answer while it is made. It never raises or blocks; an awaitable means: wait for it before you go on,
the listener is full. What comes in the meantime all the same is not lost, but held."""


class Engine(Protocol):
    """Where tokens come from."""

    async def reply(self, request: ChatRequest, on_event: OnDelta) -> Finished:
        """Answer `request`: tell `on_event` each delta as it comes, and return the genuine end.

        It is told each thought too where the request has `shows_thoughts`, and none elsewhere.

        Raises a `TokenfallError` when it cannot answer or cannot go on. Cancelling ends all work for the answer, an
        upstream connection within 250 ms.
        """
        ...


class HistoryStore(Protocol):
    """Where conversations live. A turn is two messages and is kept or dropped whole.

    Every method raises `StoreUnavailable` when the store cannot do it now, and works again once it can: nothing needs
    to be called for that. Cancelling a caller never cancels a write under way, nor mixes up answers.
    """

    async def append(self, conversation: Conversation, turn: Turn) -> None:
        """Keep `turn` as the newest; when this returns, it is kept as safely as the store promises.

        The turn that it replaces and all after that one are dropped in the same step; when that turn is there no
        longer, nothing is. Oldest turns are dropped so that a conversation holds no more than the store's limit of
        messages. The same turn (by its id) appended again, because nobody knows whether the first time succeeded, is
        kept once.
        """
        ...

    async def turns(self, conversation: Conversation, last: int | None = None) -> Sequence[Turn] | None:
        """The newest `last` turns (all for None), oldest first; None when there is no such conversation."""
        ...

    async def clear(self, conversation: Conversation) -> bool:
        """Forget the conversation; False when there was none."""
        ...

    async def conversations(
        self, owner: str, *, limit: int = LISTED, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        """At most `limit` conversations of `owner`, the most recently active first, behind the one with the id `after`.

        A page may be shorter where conversations have just expired; after the last one it is empty. Raises `NotFound`
        when `after` is not there.
        """
        ...

    async def rename(self, conversation: Conversation, title: str) -> bool:
        """Name the conversation; False when there is none. Its activity stays what it was."""
        ...

    async def check(self) -> None:
        """Return when the store can be read and written now. Raises `StoreUnavailable`, in time for a probe."""
        ...

    async def close(self) -> None:
        """Finish what is being written and let go of everything. Nothing may be called afterwards."""
        ...


class LiveTurn(Protocol):
    """A turn under way in this process, to be copied to where others can follow it."""

    id: str
    conversation: Conversation
    idempotency_key: str
    """What the turn was claimed with, "" where it was not. It is free again when the turn came to nothing."""
    end: TurnEnd | None

    def since(self, position: int) -> list[str]:
        """The pieces of the answer after the first `position`."""
        ...

    def stop(self) -> None:
        """End it now, as interrupted; harmless when it has ended."""
        ...


class SharedTurns(Protocol):
    """Turns under way anywhere, seen from every process. Coroutines raise `StoreUnavailable`."""

    def publish(self, turn: LiveTurn) -> None:
        """Copy `turn` to the others until it has ended. Never blocks and never fails: the copy may lag or be lost."""
        ...

    async def follow(self, owner: str, turn: str, *, after: int) -> "Followed":
        """A turn of `owner` from its piece `after` on. Raises `NotFound` and `ResumeExpired`."""
        ...

    async def stop(self, owner: str, turn: str) -> None:
        """Ask whoever answers the turn to stop, and return once it has ended. Raises `NotFound` and `TurnLost`."""
        ...

    async def claim(self, owner: str, key: str, *, claim: Claim) -> Claim | None:
        """Bind `key` to a turn; None when it was free, else what it is bound to already."""
        ...

    async def check(self) -> None:
        """Return when the store can be reached. Raises `StoreUnavailable`."""
        ...

    async def close(self) -> None:
        """Copy what is left to copy, and let go of everything."""
        ...


class Followed(Protocol):
    """A turn that can be heard again."""

    id: str
    conversation: Conversation
    after: int
    """How many pieces of the answer are left out."""

    async def run(self, on_event: OnDelta) -> Finished:
        """Tell the pieces there are and those that come; the genuine end, or the error that ended the turn.

        The same rules as for `Engine.reply`. Cancelling lets go of the turn.
        """
        ...


class RateLimiter(Protocol):
    """Who may go now."""

    burst: int
    """How many requests may come at once."""

    rate: float
    """How many requests a second come back."""

    async def take(self, client: str) -> LimitDecision:
        """Spend one request of `client`, whatever string tells clients apart. A refusal spends nothing."""
        ...


class Fetch(Protocol):
    """Asks the upstream for a whole answer."""

    async def __call__(self, path: str, body: bytes) -> bytes:
        """The body of the answer to `POST path`, below the upstream's base address. Raises an `UpstreamError`."""
        ...
