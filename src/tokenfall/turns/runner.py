"""State shared by all turns of a process: writes to the history, complete responses, detached turns, the shutdown.

Called by `tokenfall.chat` and by each `TurnRun`. Must not depend on engines.
"""

import asyncio
from collections.abc import Callable
from sys import getsizeof

from tokenfall.conversations import Conversation, Turn
from tokenfall.errors import shutting_down
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.memory.leases import RequestMemory
from tokenfall.ports import Followed, HistoryStore
from tokenfall.slicing.computation import NOTHING
from tokenfall.turns.detached import DetachedTurns
from tokenfall.turns.registry import TurnRegistry
from tokenfall.turns.response_buffer import ResponseBuffer
from tokenfall.turns.run import TurnRun
from tokenfall.turns.turn import RunningTurn


class TurnRunner:
    """Runs all turns of this process, and ends them when the server shuts down."""

    def __init__(
        self, history: HistoryStore, *, registry: TurnRegistry, detached: DetachedTurns, memory: RequestMemory
    ) -> None:
        """`memory`: of the texts of running turns."""
        self.draining = False
        """Whether the server is shutting down."""
        self._history = history
        self.registry = registry
        self.memory = memory
        self.detached = detached
        self._running: set[asyncio.Future[Finished]] = set()
        self._writes: set[asyncio.Future[None]] = set()

    # Called by `TurnRun`

    def write(self, turn: Turn, conversation: Conversation) -> "asyncio.Future[None] | None":
        """Start writing a turn to the history; None if it is written.

        Cancelling a caller that awaits the future does not cancel the write.
        """
        written = self._history.append(conversation, turn)
        if written is NOTHING:
            return None
        writing = asyncio.ensure_future(written)
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        return writing

    def forget(self, turn: RunningTurn) -> None:
        """The turn has ended: it is no longer detached, and the registry stores it for resumption."""
        self.detached.remove(turn)
        self.registry.retain(turn)

    # Called by the chat

    async def complete_response(
        self, turn: "TurnRun | Followed", *, on_size: Callable[[int], None] | None = None
    ) -> tuple[str, Finished]:
        """The complete response. `on_size` is called with its size so far, and may raise an error, which ends the turn.

        Cancelling means that the client disconnected; the turn may continue without it.
        """
        collected = _Collected(on_size)
        running = asyncio.ensure_future(turn.run(collected.on_event))
        self._running.add(running)
        running.add_done_callback(self._on_done)
        try:
            finished = await asyncio.shield(running)
        except asyncio.CancelledError:
            collected.drop()
            if not (isinstance(turn, TurnRun) and turn.detach()):
                running.cancel()
            raise
        finally:
            del running  # avoids a reference cycle of its exception and this frame
        return collected.text(), finished

    def _on_done(self, running: "asyncio.Future[Finished]") -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # retrieved: its caller and the turn's followers have received it

    async def drain(self, drain_s: float) -> None:
        """Let turns finish for up to `drain_s` seconds, then stop those without a client.

        It waits for all turns, because a client may disconnect meanwhile and its turn continue without it.
        """
        self.draining = True
        try:
            async with asyncio.timeout(drain_s):
                for turn in self.registry.running():
                    await turn.ended()
        except TimeoutError:
            for turn in self.registry.running():
                if turn.detached:
                    turn.stop_with(shutting_down())

    async def close(self) -> None:
        """Stop every turn, and return once all have ended and are written; failures were reported to their callers."""
        for turn in self.registry.running():
            turn.stop_with(shutting_down())
        await asyncio.gather(*self._running, return_exceptions=True)
        for turn in self.registry.running():
            if turn.detached:
                await turn.ended()
        await asyncio.gather(*self._writes, return_exceptions=True)
        self.detached.close()
        await self.registry.close()


class _Collected:
    """The text of a complete response, until its client disconnects."""

    __slots__ = ("_on_size", "_response")

    def __init__(self, on_size: Callable[[int], None] | None) -> None:
        self._on_size = on_size
        self._response: ResponseBuffer | None = ResponseBuffer()

    def on_event(self, delta: TextDelta | ReasoningDelta) -> None:
        if self._response is not None and type(delta) is TextDelta:
            self._response.add(delta.text)
            if self._on_size is not None:
                self._on_size(self._response.size_bytes())

    def text(self) -> str:
        """The text; it replaces the pieces."""
        response, self._response = self._response, None
        text = "" if response is None else response.text()
        if self._on_size is not None:
            self._on_size(getsizeof(text))
        return text

    def drop(self) -> None:
        """The client has disconnected."""
        self._response = None
