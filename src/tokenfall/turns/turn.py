"""State of a turn while it runs and for a while after: its text, its followers, and how it ended.

The client that sent the request receives the pieces directly, without a task switch; any number of followers may join
at any time. Must not know stores or engines.
"""

import asyncio
from os import urandom
from sys import maxsize
from time import perf_counter
from typing import Literal

from tokenfall.conversations import Conversation, TurnEnd
from tokenfall.errors import TokenfallError, TurnInterrupted, TurnStopped, copy_error
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.ports import OnDelta
from tokenfall.turns.response_buffer import ResponseBuffer

OnDisconnect = Literal["cancel", "finish"]
"""What happens to a turn when its client disconnects: it is cancelled, or it finishes and can be resumed."""

AT_ONCE = 256
AT_ONCE_BYTES = 16_384
"""Maximum number and size of the pieces that a follower copies at a time, because its client may be slow and the turn
long. The size may be exceeded by one piece."""

WOKEN_AT_ONCE = 64
"""Maximum number of followers that continue in one turn of the loop: each takes about 20 µs."""

MAX_THOUGHT_CHARACTERS = 32_768
"""Characters of the reasoning text that are stored; text beyond them is only streamed."""

MAX_THOUGHTS = 8_192
"""Pieces of the reasoning text that are stored."""


def new_turn_id() -> str:
    """An id that cannot be guessed."""
    return f"turn_{urandom(12).hex()}"


class RunningTurn:
    """Implements `LiveTurn`. `end` is set once, after the turn was stored or could not be."""

    __slots__ = (
        "_followers", "_generating", "_stopped_by", "_task", "_thoughts", "_waiting", "_waking", "conversation", "end",
        "finishes", "first_s", "id", "idempotency_key", "left", "response", "thought_end_s", "thought_first_s",
    )  # fmt: skip

    def __init__(self, conversation: Conversation, *, on_disconnect: OnDisconnect) -> None:
        self.id = new_turn_id()
        self.conversation = conversation
        self.idempotency_key = ""
        self.finishes = on_disconnect == "finish"
        self.response = ResponseBuffer()
        self._thoughts: ResponseBuffer | None = None  # most responses have none
        self.thought_first_s: float | None = None
        self.thought_end_s: float | None = None
        self.first_s: float | None = None
        """Time of the first piece, by `time.perf_counter`."""
        self.end: TurnEnd | None = None
        self.left = False
        """Whether the client that sent the request has disconnected."""
        self._followers = 0
        self._generating = False
        self._stopped_by: TokenfallError | None = None
        self._task: asyncio.Task[object] | None = None
        self._waiting: dict[asyncio.Future[None], None] | None = None  # most turns have no followers
        self._waking: list[asyncio.Future[None]] | None = None

    def since(self, position: int, most: int = maxsize, *, max_bytes: int = maxsize) -> list[str]:
        return self.response.since(position, most, max_bytes=max_bytes)

    def thoughts_since(self, position: int, most: int = maxsize, *, max_bytes: int = maxsize) -> list[str]:
        """Pieces of the reasoning text, which is not part of the response text; the first `MAX_THOUGHTS` are stored."""
        return [] if self._thoughts is None else self._thoughts.since(position, most, max_bytes=max_bytes)

    def size_bytes(self) -> int:
        """Memory of the text and of the reasoning text."""
        return self.response.size_bytes() + (0 if self._thoughts is None else self._thoughts.size_bytes())

    # Called by the runner

    def begin(self) -> None:
        """The calling task is about to call the engine. Raises the error that the turn was already stopped with."""
        if self._stopped_by is not None:
            raise copy_error(self._stopped_by)
        self._task = asyncio.current_task()
        self._generating = True

    def add(self, text: str) -> None:
        self.response.add(text)
        if self.first_s is None:
            self.first_s = perf_counter()
        if self._waiting:
            self._notify()

    def add_thought(self, text: str) -> None:
        self.thought_end_s = perf_counter()
        if self.thought_first_s is None:
            self.thought_first_s = self.thought_end_s
        if self._thoughts is None:
            self._thoughts = ResponseBuffer()
        if len(self._thoughts) < MAX_THOUGHTS:
            self._thoughts.add(text[:MAX_THOUGHT_CHARACTERS])
        if self._waiting:
            self._notify()

    @property
    def thought(self) -> str:
        """The beginning of the reasoning text."""
        return "" if self._thoughts is None else self._thoughts.text()[:MAX_THOUGHT_CHARACTERS]

    @property
    def thought_s(self) -> float | None:
        """Reasoning time in seconds; None without reasoning."""
        if self.thought_first_s is None or self.thought_end_s is None:
            return None
        return (self.first_s or self.thought_end_s) - self.thought_first_s

    def cancelled(self) -> TokenfallError | None:
        """The engine was cancelled: the error, if only `stop_with` cancelled its task; None if anything else did."""
        task, error = self._task, self._stopped_by
        if error is None or task is None or task.uncancel() > 0:
            return None
        return copy_error(error)

    def end_generation(self) -> None:
        """The engine has finished; from now on the turn cannot be stopped."""
        self._generating = False

    def finish(self, end: TurnEnd) -> None:
        """Set the end and notify the followers."""
        self.end = end
        self._generating = False
        self._task = None
        if self._waiting:
            self._notify()

    # Called by clients, followers and limits

    @property
    def detached(self) -> bool:
        """Whether it runs without its client."""
        return self.left and self.end is None

    def stop(self) -> None:
        self.stop_with(TurnStopped("the response was stopped"))

    def stop_with(self, error: TokenfallError) -> None:
        """End the turn with `error`; no effect if it is already stopping, concluding or ended."""
        if self._stopped_by is not None or self.end is not None:
            return
        if self._task is None:
            self._stopped_by = error  # `begin` will raise it
        elif self._generating:
            self._stopped_by = error
            self._task.cancel()

    def detach(self) -> bool:
        """The client has disconnected: whether the turn continues without it."""
        self.left = True
        return self._generating and (self.finishes or self._followers > 0)

    def follow(self) -> None:
        """A follower has joined."""
        self._followers += 1

    def unfollow(self) -> None:
        """A follower has left; the last one ends a turn that has no client and need not finish."""
        self._followers -= 1
        if not self._followers and self.left and not self.finishes:
            self.stop_with(client_left())

    async def change(self) -> None:
        """Return at the next piece or at the end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = {}
        self._waiting[waiter] = None
        try:
            await waiter
        finally:
            if self._waiting is not None:  # a silent turn must not keep the futures of all followers that have left
                self._waiting.pop(waiter, None)

    async def ended(self) -> None:
        """Return once the turn has ended."""
        while self.end is None:
            await self.change()

    def _notify(self) -> None:
        """Wake all that wait for a change, a few in each turn of the loop: they may be thousands."""
        waiting, self._waiting = self._waiting or {}, None
        if self._waking is not None:
            self._waking += waiting
        else:
            self._waking = [*waiting]
            self._wake()

    def _wake(self) -> None:
        waking = self._waking or []
        woken, self._waking = waking[:WOKEN_AT_ONCE], waking[WOKEN_AT_ONCE:] or None
        for waiter in woken:
            if not waiter.done():  # its follower may have been cancelled
                waiter.set_result(None)
        if self._waking is not None:
            asyncio.get_running_loop().call_soon(self._wake)


class FollowedLocally:
    """Implements `Followed` for a turn of this process."""

    def __init__(self, turn: RunningTurn, *, after: int) -> None:
        self.id = turn.id
        self.conversation = turn.conversation
        self.after = after
        self._turn = turn

    async def run(self, on_event: OnDelta) -> Finished:
        turn, position, thought_position = self._turn, self.after, 0
        turn.follow()
        try:
            while True:
                thoughts = turn.thoughts_since(thought_position, AT_ONCE, max_bytes=AT_ONCE_BYTES)
                thought_position += len(thoughts)
                texts = [] if thoughts else turn.since(position, AT_ONCE, max_bytes=AT_ONCE_BYTES)
                position += len(texts)
                for text in thoughts or texts:
                    full = on_event(ReasoningDelta(text) if thoughts else TextDelta(text))
                    if full is not None:
                        await full
                if thoughts or texts:
                    continue  # more may have been added meanwhile
                if turn.end is not None:
                    return turn.end.outcome()
                await turn.change()
        finally:
            turn.unfollow()


def client_left() -> TurnInterrupted:
    """The error of a turn whose client disconnected."""
    return TurnInterrupted("the client disconnected before the response was complete")
