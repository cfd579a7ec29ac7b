"""One turn's answer: asks the engine, tells who listens, keeps the turn."""

import asyncio
from collections.abc import Awaitable, Coroutine
from functools import partial
from time import perf_counter, time
from typing import Any, Protocol

from tokenfall.chat.turn import TurnUnderWay, client_left
from tokenfall.errors import TokenfallError, shutting_down
from tokenfall.events import Delta, Finished, Thought
from tokenfall.messages import ChatRequest, Message
from tokenfall.ports import Conversation, Engine, Hear, Turn, TurnEnd

FAILED = TurnEnd(code=TokenfallError.code, message="the answer failed")
"""The end of a turn by an error that nobody foresaw."""


class Keeper(Protocol):
    """What an answer needs of the chat it belongs to."""

    draining: bool
    """Whether the server is shutting down."""

    def keep(self, turn: Turn, conversation: Conversation) -> "asyncio.Future[None]":
        """Begin to write a turn; the writing goes on whatever becomes of who waits for it."""
        ...

    def detached(self, turn: TurnUnderWay, *, question_bytes: int) -> None:
        """The client has left, and the turn goes on."""
        ...

    def ended(self, turn: TurnUnderWay) -> None:
        """The turn is over."""
        ...


class Answering:
    """A turn that is about to be answered. `id` is known before the first token."""

    after = 0

    def __init__(
        self,
        turn: TurnUnderWay,
        request: ChatRequest,
        *,
        engine: Engine,
        keeper: Keeper,
        replaces: str | None = None,
        continued: Turn | None = None,
    ) -> None:
        """`continued` is the turn whose answer goes on: what is kept is its question, and its answer with the rest."""
        self.id = turn.id
        self.conversation = turn.conversation
        self._turn = turn
        self._request: ChatRequest | None = request
        """Until the engine is asked: the messages may be long, and a stream may last."""
        self._continued = continued
        self._question = continued.question if continued else request.messages[-1]
        self.model = request.model
        """The model that is asked."""
        self._engine = engine
        self._keeper = keeper
        self._replaces = continued.id if continued else replaces
        self._asked_at = time()
        self._asked_s = perf_counter()

    def goes_on(self) -> bool:
        """The client that asked has left: whether `run` is to go on without it, or to be cancelled."""
        goes_on = self._turn.goes_on()
        if goes_on:
            self._keeper.detached(self._turn, question_bytes=len(self._question.content))
        return goes_on

    async def run(self, hear: Hear) -> Finished:
        """Ask the engine, tell `hear` its deltas, and return the end once the turn is kept.

        When the engine fails, the turn is stopped, or this is cancelled because the caller left, what was said by then
        is kept as interrupted; a turn in which nothing was said is not kept. Raises what the engine and the store do.
        """
        turn = self._turn
        finished: Finished | None = None
        end = FAILED
        try:
            turn.begin()
            finished = await self._reply(hear)
            end = TurnEnd(finished)
        except TokenfallError as error:
            end = told(error)
            raise
        except asyncio.CancelledError:
            stopped = turn.cancelled()
            if stopped is None:
                end = told(shutting_down() if self._keeper.draining else client_left())
                raise
            end = told(stopped)
            try:
                raise stopped from None
            finally:
                del stopped  # or this frame and the error would hold each other
        finally:
            turn.answered()
            await self._conclude(finished, end)
        return finished

    def _reply(self, hear: Hear) -> Coroutine[Any, Any, Finished]:
        request, self._request = self._request, None
        assert request is not None  # noqa: S101 - an answer runs once
        return self._engine.reply(request, noting(self._turn, hear))

    async def _conclude(self, finished: Finished | None, end: TurnEnd) -> None:
        """Keep what was said, and only then tell the followers of the end, also when the caller leaves meanwhile."""
        if finished is None and not self._turn.said:
            self._over(end)
            return
        writing = self._keeper.keep(self._kept(finished, end), self.conversation)
        writing.add_done_callback(partial(self._written, end))
        await asyncio.shield(writing)

    def _written(self, end: TurnEnd, writing: "asyncio.Future[None]") -> None:
        error = shutting_down() if writing.cancelled() else writing.exception()
        self._over(end if error is None else told(error))

    def _over(self, end: TurnEnd) -> None:
        self._turn.finish(end)
        self._keeper.ended(self._turn)

    def _kept(self, finished: Finished | None, end: TurnEnd) -> Turn:
        """The turn as it is now; interrupted when it did not finish."""
        first_s = self._turn.first_s
        before = self._continued.answer if self._continued else Message("assistant", "")
        thought_s = self._turn.thought_s
        return Turn(
            id=self.id,
            question=self._question,
            answer=Message(
                "assistant", before.content + self._turn.said.text(), thought=self._turn.thought or before.thought
            ),
            status="complete" if finished else "interrupted",
            model=(finished.model if finished else "") or self.model,
            asked_at=self._asked_at,
            answered_at=time(),
            finish_reason=finished.reason if finished else None,
            usage=finished.usage if finished else None,
            ttft_s=None if first_s is None else round(first_s - self._asked_s, 4),
            tokens_per_s=None if first_s is None else rate(len(self._turn.said), perf_counter() - first_s),
            replaces=self._replaces,
            end_code=end.code,
            thought_s=None if thought_s is None else round(thought_s, 2),
        )


def rate(tokens: int, took_s: float) -> float | None:
    """Tokens a second after the first; None where nothing can be told of so few."""
    return round((tokens - 1) / took_s, 2) if tokens > 1 and took_s > 0 else None


def noting(turn: TurnUnderWay, hear: Hear) -> Hear:
    """Hears each piece twice: once for the turn, once for the client."""
    add, add_thought = turn.add, turn.add_thought

    def note(piece: Delta | Thought) -> Awaitable[None] | None:
        (add if type(piece) is Delta else add_thought)(piece.text)
        return hear(piece)

    return note


def told(error: BaseException) -> TurnEnd:
    """An error as the end of a turn; the text of an unknown one is not shown."""
    return TurnEnd(code=error.code, message=error.message) if isinstance(error, TokenfallError) else FAILED
