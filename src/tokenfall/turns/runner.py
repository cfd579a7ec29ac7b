"""Runs turns: calls the engine, forwards its deltas, writes the turn to the history, and ends it.

Called by `tokenfall.chat`. Uses the engine and the history through their ports; must not depend on the selection of the
context.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from sys import getsizeof
from time import perf_counter, time
from typing import Any

from tokenfall.conversations import Conversation, Turn, TurnEnd, Variant, variants_after
from tokenfall.errors import TokenfallError, shutting_down
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.messages import ChatRequest, Message
from tokenfall.ports import Engine, Followed, HistoryStore, OnDelta
from tokenfall.request_memory import RequestMemory
from tokenfall.turns.detached import DetachedTurns
from tokenfall.turns.registry import TurnRegistry, wait_until_ended
from tokenfall.turns.response_buffer import ResponseBuffer
from tokenfall.turns.turn import RunningTurn, client_left

COUNT_EVERY = 4_096
"""Characters of a response after which its memory is counted again."""

FAILED = TurnEnd(code=TokenfallError.code, message="the response failed")
"""The end of a turn after an unexpected error."""


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
        self._detached = detached
        self._running: set[asyncio.Future[Finished]] = set()
        self._writes: set[asyncio.Future[None]] = set()

    # Called by `TurnRun`

    def write(self, turn: Turn, conversation: Conversation) -> "asyncio.Future[None]":
        """Start writing a turn to the history; cancelling a caller that awaits it does not cancel the write."""
        writing = asyncio.ensure_future(self._history.append(conversation, turn))
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        return writing

    def detach(self, turn: RunningTurn, *, held_bytes: int) -> None:
        """The client has disconnected, and the turn continues."""
        self._detached.add(turn, held_bytes=held_bytes)

    def forget(self, turn: RunningTurn) -> None:
        """The turn has ended: it is no longer detached, and the registry stores it for resumption."""
        self._detached.remove(turn)
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
                    await wait_until_ended(turn)
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
                await wait_until_ended(turn)
        await asyncio.gather(*self._writes, return_exceptions=True)
        self._detached.close()
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


class TurnRun:
    """One turn, which is run once. `id` is known before the first token."""

    __slots__ = (
        "_continued",
        "_engine",
        "_lease",
        "_on_event",
        "_question",
        "_replaces",
        "_request",
        "_runner",
        "_started_at",
        "_started_s",
        "_turn",
        "_uncounted",
        "_variants",
        "after",
        "conversation",
        "id",
        "model",
    )

    def __init__(
        self,
        turn: RunningTurn,
        request: ChatRequest,
        *,
        engine: Engine,
        runner: TurnRunner,
        replaces: Turn | None = None,
        continued: Turn | None = None,
    ) -> None:
        """`continued`: the turn to continue. Its question is stored, with its response followed by the new text.

        `replaces`: the turn that this one replaces. If it has the same question, its response is stored as a variant.
        Raises `RequestMemoryFull`.
        """
        self.after = 0
        self.id = turn.id
        self.conversation = turn.conversation
        self._turn = turn
        self._request: ChatRequest | None = request
        """None once the engine was called: the messages may be large, and a stream may be long."""
        self._continued = continued
        self._question = continued.question if continued else request.messages[-1]
        self.model = request.model
        """The requested model."""
        self._engine = engine
        self._runner = runner
        self._variants = _variants(self._question, replaces=replaces, continued=continued)
        replaced = continued or replaces
        self._replaces = replaced.id if replaced else None
        self._on_event: OnDelta | None = None
        self._started_at = time()
        self._started_s = perf_counter()
        self._uncounted = 0
        self._lease = runner.memory.lease(request.caller.name)
        self._lease.resize(self._held_bytes())

    def detach(self) -> bool:
        """The client has disconnected: whether `run` continues without it; if not, the caller must cancel it."""
        continues = self._turn.detach()
        if continues:
            self._runner.detach(self._turn, held_bytes=self._held_bytes())
        return continues

    def _held_bytes(self) -> int:
        """Memory of the texts that are stored with the response. The lease has that of the response too."""
        texts = [self._question.content, *(variant.content for variant in self._variants)]
        if self._continued is not None:
            texts += (self._continued.answer.content, self._continued.answer.thought)
        return sum(map(getsizeof, texts))

    async def run(self, on_event: OnDelta) -> Finished:
        """Call the engine, report its deltas to `on_event`, and return the final event once the turn is stored.

        If the engine fails, the turn is stopped, or this is cancelled because the client disconnected, the text so far
        is stored as interrupted; a turn without text is not stored. Raises the errors of the engine and the store.
        """
        turn = self._turn
        finished: Finished | None = None
        end = FAILED
        try:
            turn.begin()
            finished = await self._reply(on_event)
            end = TurnEnd(finished)
        except TokenfallError as error:
            end = turn_end(error)
            raise
        except asyncio.CancelledError:
            stopped = turn.cancelled()
            if stopped is None:
                end = turn_end(shutting_down() if self._runner.draining else client_left())
                raise
            end = turn_end(stopped)
            try:
                raise stopped from None
            finally:
                del stopped  # avoids a reference cycle of the error and this frame
        finally:
            self._on_event = None  # breaks a reference cycle: the callback's stream holds this run
            await self._conclude(finished, end)
        return finished

    def _reply(self, on_event: OnDelta) -> Coroutine[Any, Any, Finished]:
        request, self._request = self._request, None
        assert request is not None  # noqa: S101 - a turn runs once
        self._on_event = on_event
        return self._engine.reply(request, self._dispatch)

    def _dispatch(self, delta: TextDelta | ReasoningDelta) -> Awaitable[None] | None:
        """Pass a delta to the turn and to the client. Raises `RequestMemoryFull`."""
        self._uncounted += len(delta.text)
        if self._uncounted > COUNT_EVERY:
            self._uncounted = 0
            self._lease.resize(self._held_bytes() + self._turn.size_bytes())
        if type(delta) is TextDelta:
            self._turn.add(delta.text)
        else:
            self._turn.add_thought(delta.text)
        return None if self._on_event is None else self._on_event(delta)

    async def _conclude(self, finished: Finished | None, end: TurnEnd) -> None:
        """Store the turn, and only then publish its end to followers, even if the caller is cancelled meanwhile."""
        try:
            self._turn.end_generation()
            if finished is None and not self._turn.response:
                self._end(end)
                return
            writing = self._runner.write(self._record(finished, end), self.conversation)
            writing.add_done_callback(partial(self._on_written, end))
        except Exception:
            self._end(FAILED)  # or its followers, and the drain, would wait for it
            raise
        await asyncio.shield(writing)

    def _on_written(self, end: TurnEnd, writing: "asyncio.Future[None]") -> None:
        error = shutting_down() if writing.cancelled() else writing.exception()
        self._end(end if error is None else turn_end(error))

    def _end(self, end: TurnEnd) -> None:
        try:
            self._turn.finish(end)
        finally:
            self._lease.release()
            self._runner.forget(self._turn)

    def _record(self, finished: Finished | None, end: TurnEnd) -> Turn:
        """The turn as it is to be stored; interrupted if it did not finish."""
        first_s = self._turn.first_s
        before = self._continued.answer if self._continued else Message("assistant", "")
        thought_s = self._turn.thought_s
        return Turn(
            id=self.id,
            question=self._question,
            answer=Message(
                "assistant", before.content + self._turn.response.text(), thought=self._turn.thought or before.thought
            ),
            status="complete" if finished else "interrupted",
            model=(finished.model if finished else "") or self.model,
            asked_at=self._started_at,
            answered_at=time(),
            finish_reason=finished.reason if finished else None,
            usage=finished.usage if finished else None,
            ttft_s=None if first_s is None else round(first_s - self._started_s, 4),
            tokens_per_s=None if first_s is None else rate(len(self._turn.response), perf_counter() - first_s),
            replaces=self._replaces,
            end_code=end.code,
            thought_s=None if thought_s is None else round(thought_s, 2),
            variants=self._variants,
        )


def _variants(question: Message, *, replaces: Turn | None, continued: Turn | None) -> tuple[Variant, ...]:
    """The earlier responses to `question`."""
    if continued is not None:
        return continued.variants
    return variants_after(replaces) if replaces is not None and replaces.question == question else ()


def rate(tokens: int, took_s: float) -> float | None:
    """Tokens per second after the first; None if there are too few to measure."""
    return round((tokens - 1) / took_s, 2) if tokens > 1 and took_s > 0 else None


def turn_end(error: BaseException) -> TurnEnd:
    """An error as the end of a turn; the text of an unknown error is not exposed."""
    return TurnEnd(code=error.code, message=error.message) if isinstance(error, TokenfallError) else FAILED
