"""The chat: a question becomes a turn, a turn is answered and kept.

Called by `tokenfall.api.chat`. It knows engines and stores by their ports, and must never know a wire format, a
status code or a socket.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from os import urandom
from time import time

from msgspec import Struct

from tokenfall.chat.context import context, turns_within
from tokenfall.errors import NotFound
from tokenfall.events import Delta, Finished
from tokenfall.messages import ChatRequest, Message
from tokenfall.ports import Conversation, ConversationInfo, Engine, Hear, HistoryStore, Turn

JOIN_AT = 16
"""So many pieces of an answer become one: a short string costs 60 bytes more than its text."""


class Defaults(Struct, frozen=True, kw_only=True):
    """What holds where the caller does not say. `context_messages` counts messages of the history sent to the model."""

    model: str
    max_tokens: int
    system: Message | None
    context_messages: int


class Question(Struct, frozen=True, kw_only=True):
    """What a caller asks. `system` replaces the default system prompt for this turn."""

    conversation: Conversation
    message: Message
    system: Message | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    simulation: str = ""


class Chat:
    """Answers questions within conversations."""

    def __init__(self, engine: Engine, history: HistoryStore, *, defaults: Defaults) -> None:
        self._engine = engine
        self._history = history
        self._defaults = defaults
        self._writings: set[asyncio.Future[None]] = set()

    async def begin(self, question: Question) -> "Answering":
        """Load and trim the conversation; nothing is asked of the engine yet. Raises what the store raises."""
        defaults = self._defaults
        turns = await self._history.turns(question.conversation, last=turns_within(defaults.context_messages))
        request = ChatRequest(
            messages=context(
                turns or (),
                question.message,
                system=question.system or defaults.system,
                limit=defaults.context_messages,
            ),
            model=question.model or defaults.model,
            max_tokens=question.max_tokens or defaults.max_tokens,
            temperature=question.temperature,
            simulation=question.simulation,
        )
        return Answering(
            self._engine,
            self._history,
            conversation=question.conversation,
            request=request,
            writings=self._writings,
        )

    async def settle(self) -> None:
        """Wait until every turn that is being written is written; failures were told to those who asked."""
        await asyncio.gather(*self._writings, return_exceptions=True)

    async def history(self, conversation: Conversation, *, may_be_new: bool) -> Sequence[Turn]:
        """All that is kept of a conversation. Raises `NotFound`, unless it may not have begun yet."""
        turns = await self._history.turns(conversation)
        if turns is None and not may_be_new:
            raise NotFound("there is no such conversation")
        return turns or ()

    async def clear(self, conversation: Conversation, *, may_be_new: bool) -> None:
        """Forget a conversation. Raises `NotFound`, unless it may not have begun yet."""
        if not await self._history.clear(conversation) and not may_be_new:
            raise NotFound("there is no such conversation")

    async def conversations(self, owner: str) -> Sequence[ConversationInfo]:
        """Those of `owner`, the most recently active first."""
        return await self._history.conversations(owner)


class Answering:
    """A turn under way. `id` is known before the first token."""

    def __init__(
        self,
        engine: Engine,
        history: HistoryStore,
        *,
        conversation: Conversation,
        request: ChatRequest,
        writings: set[asyncio.Future[None]],
    ) -> None:
        self.id = f"turn_{urandom(12).hex()}"
        self.conversation = conversation
        self._engine = engine
        self._history = history
        self._request = request
        self._writings = writings
        self._said: list[str] = []
        self._pieces: list[str] = []
        self._asked_at = time()

    async def run(self, hear: Hear) -> Finished:
        """Ask the engine, tell `hear` its deltas, and return the end once the turn is kept.

        When the engine fails, or this is cancelled because the caller left, what was said by then is kept as
        interrupted; a turn in which nothing was said is not kept. Raises what the engine and the store raise.
        """
        finished: Finished | None = None
        try:
            finished = await self._engine.reply(self._request, partial(self._note, hear))
        finally:
            if finished is not None or self._said or self._pieces:
                await self._keep(self._turn(finished))
        return finished

    def _note(self, hear: Hear, delta: Delta) -> Awaitable[None] | None:
        pieces = self._pieces
        pieces.append(delta.text)
        if len(pieces) == JOIN_AT:
            self._said.append("".join(pieces))
            pieces.clear()
        return hear(delta)

    def _turn(self, finished: Finished | None) -> Turn:
        """The turn as it is now; interrupted when it did not finish."""
        return Turn(
            id=self.id,
            question=self._request.messages[-1],
            answer=Message("assistant", "".join((*self._said, *self._pieces))),
            status="complete" if finished else "interrupted",
            model=(finished.model if finished else "") or self._request.model,
            asked_at=self._asked_at,
            answered_at=time(),
            finish_reason=finished.reason if finished else None,
            usage=finished.usage if finished else None,
        )

    async def _keep(self, turn: Turn) -> None:
        """Write the turn, once and as one unit. Who leaves meanwhile does not stop the writing."""
        writing = asyncio.ensure_future(self._history.append(self.conversation, turn))
        self._writings.add(writing)
        writing.add_done_callback(self._writings.discard)
        await asyncio.shield(writing)
