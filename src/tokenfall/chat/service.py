"""The chat: creates a turn for each question, and manages conversations.

Called by `tokenfall.api.chat`. Uses engines and stores through their ports; must not know wire formats, status codes
or sockets.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress

from msgspec import Struct

from tokenfall.callers import NOBODY, Caller
from tokenfall.chat.context import context, turns_in_context, turns_within
from tokenfall.conversations import Conversation, ConversationInfo, Turn
from tokenfall.errors import ConversationChanged, ConversationTooLong, NotFound, StoreUnavailable
from tokenfall.history.search import search
from tokenfall.messages import ChatRequest, Message
from tokenfall.ports import Engine, Followed, HistoryStore
from tokenfall.slicing.computation import LOOP_TURN
from tokenfall.turns.run import TurnRun, turn_end
from tokenfall.turns.runner import TurnRunner
from tokenfall.turns.turn import OnDisconnect, RunningTurn, client_left

MAX_CONTEXT_BYTES = 4_194_304
"""Size of the turns of a history that are read for the model; older ones are omitted."""


class Defaults(Struct, frozen=True, kw_only=True):
    """Defaults for questions. `context_messages` is the maximum number of history messages sent to the model.

    `context_tokens` limits them further, by an estimate of their tokens; None for no limit. `stored_messages` is the
    number of messages of a conversation that the history stores.
    """

    model: str
    max_tokens: int
    system: Message | None
    context_messages: int
    context_tokens: int | None = None
    stored_messages: int = 1_000
    on_disconnect: OnDisconnect = "cancel"


class Question(Struct, frozen=True, kw_only=True):
    """A request for one turn. `system` replaces the default system prompt for this turn.

    `idempotency` is the caller's key for this request, and a digest of the request. `replaces` is the id of a turn to
    replace: that turn and all later ones are not sent to the model, and are deleted when the new turn is stored.
    `continues` is the id of a turn whose response is to be continued, and which is replaced by the result: `message`
    instructs the model to continue, and is not stored. `after` is the id of the newest turn that the caller knows, ""
    for none: if the newest turn is another, the request fails. None disables this check.
    """

    conversation: Conversation
    message: Message
    system: Message | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    simulation: str = ""
    caller: Caller = NOBODY
    reports_reasoning: bool = False
    on_disconnect: OnDisconnect | None = None
    idempotency: tuple[str, str] | None = None
    replaces: str | None = None
    continues: str | None = None
    after: str | None = None


class Chat:
    """The chat service of one process."""

    def __init__(
        self,
        engine: Engine,
        history: HistoryStore,
        *,
        defaults: Defaults,
        runner: TurnRunner,
    ) -> None:
        self._engine = engine
        self._history = history
        self.defaults = defaults
        """The values of fields that a question does not set."""
        self.turns = runner.registry
        self.runner = runner

    async def begin(self, question: Question) -> TurnRun | Followed:
        """Load and trim the conversation, without calling the engine yet. Raises the errors of the store.

        If the idempotency key is already bound to a turn, that turn is returned, from its beginning.
        """
        turn = RunningTurn(question.conversation, on_disconnect=question.on_disconnect or self.defaults.on_disconnect)
        try:
            if question.idempotency is not None:
                key, digest = question.idempotency
                running = await self.turns.claim(turn, key=key, digest=digest)
                if running is not None:
                    return running
            self.turns.add(turn)
            before, named = await self._previous_turns(question)
            return TurnRun(
                turn,
                self._request(question, before),
                engine=self._engine,
                runner=self.runner,
                replaces=named if question.replaces else None,
                continued=named if question.continues else None,
            )
        except BaseException as error:
            turn.finish(turn_end(client_left() if isinstance(error, asyncio.CancelledError) else error))
            self.turns.retain(turn)
            raise

    def _request(self, question: Question, before: Sequence[Turn]) -> ChatRequest:
        defaults = self.defaults
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
            caller=question.caller,
            reports_reasoning=question.reports_reasoning,
        )

    async def in_context(self, conversation: Conversation, *, system: Message | None) -> Sequence[Turn]:
        """The stored turns, oldest first, that the model gets with the next question if that is short.

        Empty if the conversation does not exist. A long question may leave less room.
        """
        defaults = self.defaults
        return turns_in_context(
            await self._newest_turns(conversation),
            Message("user", ""),
            system=system or defaults.system,
            limit=defaults.context_messages,
            max_tokens=defaults.context_tokens,
        )

    async def _newest_turns(self, conversation: Conversation) -> Sequence[Turn]:
        """The turns that fit into the context, at least one, if any are stored: `after` needs the newest."""
        return await self._history.turns(conversation, last=self._most_turns, max_bytes=MAX_CONTEXT_BYTES) or ()

    @property
    def _most_turns(self) -> int:
        return max(turns_within(self.defaults.context_messages), 1)

    async def _previous_turns(self, question: Question) -> tuple[Sequence[Turn], Turn | None]:
        """The turns before the question, and the turn that it replaces or continues, if any.

        Raises `ConversationChanged`.
        """
        named = question.continues or question.replaces
        if named is None:
            turns = await self._newest_turns(question.conversation)
            _check_newest(turns, question.after)
            return turns, None
        if question.after is not None:
            _check_newest(await self._history.turns(question.conversation, last=1) or (), question.after)
        last = self._most_turns + 1
        turns = await self._history.turns(question.conversation, last, until=named, max_bytes=MAX_CONTEXT_BYTES) or ()
        if not turns:
            member = "continues" if question.continues else "replaces"
            raise ConversationChanged(f"the conversation does not contain the turn in {member}, or no longer")
        return turns if question.continues else turns[:-1], turns[-1]

    @property
    def survives_restart(self) -> bool:
        """Whether a turn can be resumed in another process after this one has ended."""
        return self.turns.shared is not None

    # Conversations

    async def history_bytes(self, conversation: Conversation) -> int:
        """About the memory that `history` needs."""
        return await self._history.size_bytes(conversation)

    async def history(self, conversation: Conversation, *, may_be_missing: bool) -> Sequence[Turn]:
        """All stored turns of a conversation. Raises `NotFound` if it does not exist, unless `may_be_missing`."""
        turns = await self._history.turns(conversation)
        _check_exists(turns is not None or may_be_missing)
        return turns or ()

    async def clear(self, conversation: Conversation, *, may_be_missing: bool) -> None:
        """Delete a conversation. Raises `NotFound` if it does not exist, unless `may_be_missing`."""
        _check_exists(await self._history.clear(conversation) or may_be_missing)

    async def rename(self, conversation: Conversation, title: str) -> None:
        """Set the title of a conversation. Raises `NotFound`."""
        _check_exists(await self._history.rename(conversation, title))

    async def pin(self, conversation: Conversation, pinned: bool) -> None:
        """Pin or unpin a conversation. Raises `NotFound`."""
        _check_exists(await self._history.pin(conversation, pinned))

    async def add(self, conversation: Conversation, turns: Sequence[Turn], *, title: str) -> None:
        """Store a new conversation; a `title` of "" is the default. A failure or cancellation deletes all of it.

        Raises `ConversationTooLong` if the history would delete its oldest turns at once.
        """
        messages, limit = 2 * len(turns), self.defaults.stored_messages
        if messages > limit:
            raise ConversationTooLong(f"the conversation has {messages} messages; HISTORY_LIMIT allows {limit}")
        try:
            for turn in turns:
                await self._history.append(conversation, turn)
                await LOOP_TURN  # the in-memory store never yields to the event loop
            if title:
                await self._history.rename(conversation, title)
        except BaseException:
            with suppress(StoreUnavailable):
                await asyncio.shield(self._history.clear(conversation))
            raise

    async def conversations(
        self, owner: str, *, limit: int, after: str | None, words: Collection[str] = ()
    ) -> tuple[Sequence[ConversationInfo], bool]:
        """Conversations of `owner`, most recently active first, and whether another page may follow.

        With `words`, only those in which all of them occur.
        """
        if not words:
            found = await self._history.conversations(owner, limit=limit + 1, after=after)
            return found[:limit], len(found) > limit
        found = await search(self._history, owner, words=words, limit=limit, after=after)
        return found, bool(found) and await self._has_after(owner, found[-1].id)

    async def _has_after(self, owner: str, last: str) -> bool:
        """Whether `owner` has conversations after `last`."""
        with suppress(NotFound):  # deleted meanwhile
            return bool(await self._history.conversations(owner, limit=1, after=last))
        return False


def _check_exists(exists: bool) -> None:
    if not exists:
        raise NotFound("there is no such conversation")


def _check_newest(turns: Sequence[Turn], after: str | None) -> None:
    """Raise `ConversationChanged` if the newest turn is not `after`."""
    newest = turns[-1].id if turns else ""
    if after is not None and after != newest:
        now = f"its newest turn is {newest}" if newest else "it is empty"
        raise ConversationChanged(f"the conversation has changed: {now}, not the turn in after")
