"""One turn while it runs: calls the engine, forwards its deltas, and has the turn written to the history.

Created by `tokenfall.chat`, run by the route that sends the response. Must not depend on the selection of the context.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from functools import partial
from sys import getsizeof
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from tokenfall.conversations import Turn, TurnEnd, Variant, variants_after
from tokenfall.errors import TokenfallError, shutting_down
from tokenfall.events import Finished, ReasoningDelta, TextDelta
from tokenfall.messages import ChatRequest, Message
from tokenfall.ports import Engine, OnDelta
from tokenfall.turns.turn import RunningTurn, client_left

if TYPE_CHECKING:
    from tokenfall.turns.runner import TurnRunner

COUNT_EVERY = 4_096
"""Characters of a response after which its memory is counted again."""

FAILED = TurnEnd(code=TokenfallError.code, message="the response failed")
"""The end of a turn after an unexpected error."""


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
        runner: "TurnRunner",
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
            self._runner.detached.add(self._turn, held_bytes=self._held_bytes())
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
        except Exception:
            self._end(FAILED)  # or its followers, and the drain, would wait for it
            raise
        if writing is None:
            self._end(end)
            return
        writing.add_done_callback(partial(self._on_written, end))
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
            finish_reason=finished.end_reason if finished else None,
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
