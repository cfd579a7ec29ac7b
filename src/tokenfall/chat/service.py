"""The chat: a question becomes a turn, a turn is answered and kept.

Called by `tokenfall.api.chat`. It knows engines and stores by their ports, and must never know a wire format, a
status code or a socket.
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from tokenfall.chat.context import context, turns_within
from tokenfall.conversations import Conversation, ConversationInfo, Turn
from tokenfall.errors import ConversationChanged, NotFound
from tokenfall.messages import ChatRequest, Message
from tokenfall.ports import Engine, Followed, HistoryStore
from tokenfall.turns.registry import TurnRegistry
from tokenfall.turns.runner import TurnRun, TurnRunner, told
from tokenfall.turns.turn import OnDisconnect, RunningTurn, client_left


class Defaults(Struct, frozen=True, kw_only=True):
    """What holds where the caller does not say. `context_messages` counts messages of the history sent to the model.

    `context_tokens` bounds them further, by an estimate; None for no bound.
    """

    model: str
    max_tokens: int
    system: Message | None
    context_messages: int
    context_tokens: int | None = None
    on_disconnect: OnDisconnect = "cancel"


class Question(Struct, frozen=True, kw_only=True):
    """What a caller asks. `system` replaces the default system prompt for this turn.

    `idempotency` is the caller's key for this request, and a digest of the request it stands for. `replaces` names the
    turn of the conversation in whose place this one is asked: it and all after it are not shown to the model, and go
    when this one is kept. `continues` names the turn whose answer goes on, in its place: `message` tells the model
    to go on, and is not kept. `after` is the newest turn that the caller knows, "" for none: when the conversation has
    another, nothing is asked. None for no such check.
    """

    conversation: Conversation
    message: Message
    system: Message | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    simulation: str = ""
    shows_thoughts: bool = False
    on_disconnect: OnDisconnect | None = None
    idempotency: tuple[str, str] | None = None
    replaces: str | None = None
    continues: str | None = None
    after: str | None = None


class Chat:
    """Answers questions within conversations."""

    def __init__(
        self,
        engine: Engine,
        history: HistoryStore,
        *,
        defaults: Defaults,
        turns: TurnRegistry,
        runner: TurnRunner,
    ) -> None:
        self._engine = engine
        self._history = history
        self._defaults = defaults
        self.turns = turns
        self.runner = runner

    async def begin(self, question: Question) -> TurnRun | Followed:
        """Load and trim the conversation; nothing is asked of the engine yet. Raises what the store raises.

        A question whose idempotency key came before is its turn again, from the beginning.
        """
        turn = RunningTurn(question.conversation, on_disconnect=question.on_disconnect or self._defaults.on_disconnect)
        try:
            if question.idempotency is not None:
                key, digest = question.idempotency
                running = await self.turns.claim(turn, key=key, digest=digest)
                if running is not None:
                    return running
            self.turns.add(turn)
            before = await self._before(question)
            request = self._request(question, before)
        except BaseException as error:
            turn.finish(told(client_left() if isinstance(error, asyncio.CancelledError) else error))
            self.turns.ended(turn)
            raise
        return TurnRun(
            turn,
            request,
            engine=self._engine,
            runner=self.runner,
            replaces=question.replaces,
            continued=before[-1] if question.continues else None,
        )

    def _request(self, question: Question, before: Sequence[Turn]) -> ChatRequest:
        defaults = self._defaults
        return ChatRequest(
            messages=context(
                before,
                question.message,
                system=question.system or defaults.system,
                limit=max(defaults.context_messages, 2) if question.continues else defaults.context_messages,
                max_tokens=defaults.context_tokens,
            ),
            model=question.model or defaults.model,
            max_tokens=question.max_tokens or defaults.max_tokens,
            temperature=question.temperature,
            simulation=question.simulation,
            shows_thoughts=question.shows_thoughts,
        )

    async def _before(self, question: Question) -> Sequence[Turn]:
        """The turns that the model is shown. Raises `ConversationChanged`."""
        most = turns_within(self._defaults.context_messages)
        named = question.continues or question.replaces
        if named is None:
            turns = await self._history.turns(question.conversation, last=max(most, 1)) or ()
            _check_newest(turns, question.after)
            return turns[max(0, len(turns) - most) :]
        turns = await self._history.turns(question.conversation) or ()
        _check_newest(turns, question.after)
        place = next((place for place, turn in enumerate(turns) if turn.id == named), None)
        if place is None:
            member = "continues" if question.continues else "replaces"
            raise ConversationChanged(f"the turn that {member} names is not in the conversation, or not any more")
        past = place + 1 if question.continues else place
        return turns[max(0, past - max(most, 1)) : past]

    async def resume(self, owner: str, turn: str, *, after: int) -> Followed:
        """A turn of `owner` from its piece `after` on. Raises `NotFound` and `ResumeExpired`."""
        return await self.turns.follow(owner, turn, after=after)

    async def stop(self, owner: str, turn: str) -> None:
        """End a turn of `owner`, keeping what was said; return once that is done. Raises `NotFound`."""
        await self.turns.stop(owner, turn)

    @property
    def outlives(self) -> bool:
        """Whether what was said of a turn can be had after the end of this process."""
        return self.turns.shared is not None

    # Conversations

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

    async def rename(self, conversation: Conversation, title: str) -> None:
        """Name a conversation. Raises `NotFound`."""
        if not await self._history.rename(conversation, title):
            raise NotFound("there is no such conversation")

    async def conversations(self, owner: str, *, limit: int, after: str | None) -> Sequence[ConversationInfo]:
        """Those of `owner`, the most recently active first."""
        return await self._history.conversations(owner, limit=limit, after=after)


def _check_newest(turns: Sequence[Turn], after: str | None) -> None:
    """Raise `ConversationChanged` when the newest turn is not the one that the caller knows."""
    newest = turns[-1].id if turns else ""
    if after is not None and after != newest:
        now = f"its newest turn is {newest}" if newest else "it has no turns now"
        raise ConversationChanged(f"the conversation has changed since the turn that after names: {now}")
