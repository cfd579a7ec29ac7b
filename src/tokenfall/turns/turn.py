"""A turn while it is answered, and for a while after: what was said, who listens, and how it ended.

Its pieces are heard by the client that asked, at once and without a task switch, and by any number of followers, who
may come late. It knows no store and no engine.
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
"""What becomes of a turn when its client leaves: it ends, or it is answered to its end for whoever comes back."""

AT_ONCE = 256
"""Pieces that a follower holds of a turn: it may be slow, and the turn long."""


MAX_THOUGHT_CHARACTERS = 32_768
"""So much of what a model thinks is kept; what comes after it is told to who listens, and to nobody later."""

MAX_THOUGHTS = 8_192
"""So many pieces of it."""


class RunningTurn:
    """Implements `LiveTurn`. `end` is set once, when the turn is kept or lost."""

    __slots__ = (
        "_answering", "_changed", "_followers", "_stopped_by", "_task", "conversation", "end", "finishes", "first_s",
        "id", "idempotency_key", "left", "said", "thought_end_s", "thought_first_s", "thoughts",
    )  # fmt: skip

    def __init__(self, conversation: Conversation, *, on_disconnect: OnDisconnect) -> None:
        self.id = f"turn_{urandom(12).hex()}"
        self.conversation = conversation
        self.idempotency_key = ""
        self.finishes = on_disconnect == "finish"
        self.said = ResponseBuffer()
        self.thoughts: list[str] = []
        """What the model thinks, in pieces, up to `MAX_THOUGHT_CHARACTERS`. Not numbered: it is no part of the text."""
        self.thought_first_s: float | None = None
        self.thought_end_s: float | None = None
        self.first_s: float | None = None
        """When the first piece came, by the clock of `time.perf_counter`."""
        self.end: TurnEnd | None = None
        self.left = False
        """Whether the client that asked has left."""
        self._followers = 0
        self._answering = False
        self._stopped_by: TokenfallError | None = None
        self._task: asyncio.Task[object] | None = None
        self._changed: asyncio.Future[None] | None = None

    def since(self, position: int, most: int = maxsize) -> list[str]:
        return self.said.since(position, most)

    # What the one who answers calls

    def begin(self) -> None:
        """The engine is asked now, by the task that calls this. Raises what the turn was stopped with before."""
        if self._stopped_by is not None:
            raise copy_error(self._stopped_by)
        self._task = asyncio.current_task()
        self._answering = True

    def add(self, text: str) -> None:
        """The next piece."""
        self.said.add(text)
        if self.first_s is None:
            self.first_s = perf_counter()
        if self._changed is not None:
            self._tell()

    def add_thought(self, text: str) -> None:
        """The next piece of what the model thinks."""
        self.thought_end_s = perf_counter()
        if self.thought_first_s is None:
            self.thought_first_s = self.thought_end_s
        if len(self.thoughts) < MAX_THOUGHTS:
            self.thoughts.append(text[:MAX_THOUGHT_CHARACTERS])
        if self._changed is not None:
            self._tell()

    @property
    def thought(self) -> str:
        """The beginning of what the model thought."""
        return "".join(self.thoughts)[:MAX_THOUGHT_CHARACTERS]

    @property
    def thought_s(self) -> float | None:
        """How long it thought, None where it did not."""
        if self.thought_first_s is None or self.thought_end_s is None:
            return None
        return (self.first_s or self.thought_end_s) - self.thought_first_s

    def cancelled(self) -> TokenfallError | None:
        """The engine was cancelled: what by, if the turn was stopped and nobody else cancelled its task too."""
        task, error = self._task, self._stopped_by
        if error is None or task is None or task.uncancel() > 0:
            return None
        return copy_error(error)

    def answered(self) -> None:
        """The engine is done: what follows is not to be interrupted any more."""
        self._answering = False

    def finish(self, end: TurnEnd) -> None:
        """The turn is over."""
        self.end = end
        self._answering = False
        self._task = None
        if self._changed is not None:
            self._tell()

    # What others call

    @property
    def detached(self) -> bool:
        """Whether it is being answered with no client of its own."""
        return self.left and self.end is None

    def stop(self) -> None:
        self.stop_with(TurnStopped("the answer was stopped"))

    def stop_with(self, error: TokenfallError) -> None:
        """End with `error` what is not at its end already."""
        if self._stopped_by is not None or self.end is not None:
            return
        if self._task is None:
            self._stopped_by = error  # before it began
        elif self._answering:
            self._stopped_by = error
            self._task.cancel()

    def goes_on(self) -> bool:
        """The client that asked has left: whether the turn is answered all the same."""
        self.left = True
        return self._answering and (self.finishes or self._followers > 0)

    def followed(self) -> None:
        """Somebody listens."""
        self._followers += 1

    def let_go(self) -> None:
        """Somebody listens no more; when nobody does and the turn is for nobody else, it ends."""
        self._followers -= 1
        if not self._followers and self.left and not self.finishes:
            self.stop_with(client_left())

    async def change(self) -> None:
        """Return when there is another piece, or the end."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def _tell(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)


class FollowedLocally:
    """Implements `Followed` for a turn of this process."""

    def __init__(self, turn: RunningTurn, *, after: int) -> None:
        self.id = turn.id
        self.conversation = turn.conversation
        self.after = after
        self._turn = turn

    async def run(self, on_event: OnDelta) -> Finished:
        turn, position, thoughts = self._turn, self.after, 0
        turn.followed()
        try:
            while True:
                for thought in turn.thoughts[thoughts:]:
                    thoughts += 1
                    full = on_event(ReasoningDelta(thought))
                    if full is not None:
                        await full
                for text in turn.since(position, AT_ONCE):
                    position += 1
                    full = on_event(TextDelta(text))
                    if full is not None:
                        await full
                if position < len(turn.said) or thoughts < len(turn.thoughts):
                    continue
                if turn.end is not None:
                    return turn.end.outcome()
                await turn.change()
        finally:
            turn.let_go()


def client_left() -> TurnInterrupted:
    """What is told of a turn whose client left."""
    return TurnInterrupted("the client that asked left before the answer was complete")
