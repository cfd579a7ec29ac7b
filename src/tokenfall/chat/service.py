"""The chat: a question becomes a turn, a turn is answered and kept.

Called by `tokenfall.api.chat`. It knows engines and stores by their ports, and must never know a wire format, a
status code or a socket.
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from tokenfall.chat.answering import Answering, told
from tokenfall.chat.context import context, turns_within
from tokenfall.chat.detached import DetachedTurns
from tokenfall.chat.turn import OnDisconnect, TurnUnderWay, client_left
from tokenfall.chat.turns import Turns, ended
from tokenfall.errors import ConversationChanged, NotFound, shutting_down
from tokenfall.events import Delta, Finished
from tokenfall.messages import ChatRequest, Message
from tokenfall.ports import Conversation, ConversationInfo, Engine, Followed, HistoryStore, Turn


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
        turns: Turns,
        detached: DetachedTurns,
    ) -> None:
        self.draining = False
        self._engine = engine
        self._history = history
        self._defaults = defaults
        self._turns = turns
        self._detached_turns = detached
        self._running: set[asyncio.Future[Finished]] = set()
        self._writings: set[asyncio.Future[None]] = set()

    async def begin(self, question: Question) -> Answering | Followed:
        """Load and trim the conversation; nothing is asked of the engine yet. Raises what the store raises.

        A question whose idempotency key came before is its turn again, from the beginning.
        """
        turn = TurnUnderWay(question.conversation, on_disconnect=question.on_disconnect or self._defaults.on_disconnect)
        try:
            if question.idempotency is not None:
                key, digest = question.idempotency
                running = await self._turns.claim(turn, key=key, digest=digest)
                if running is not None:
                    return running
            self._turns.add(turn)
            before = await self._before(question)
            request = self._request(question, before)
        except BaseException as error:
            turn.finish(told(client_left() if isinstance(error, asyncio.CancelledError) else error))
            self._turns.ended(turn)
            raise
        return Answering(
            turn,
            request,
            engine=self._engine,
            keeper=self,
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

    async def whole(self, answer: Answering | Followed) -> tuple[str, Finished]:
        """The whole answer. Cancelling is the caller's leaving: what that means to the turn, it says itself."""
        said: list[str] = []
        running = asyncio.ensure_future(
            answer.run(lambda piece: said.append(piece.text) if type(piece) is Delta else None)
        )
        self._running.add(running)
        running.add_done_callback(self._ran)
        try:
            finished = await asyncio.shield(running)
        except asyncio.CancelledError:
            if not (isinstance(answer, Answering) and answer.goes_on()):
                running.cancel()
            raise
        finally:
            del running  # it may keep an error, whose frames would keep it
        return "".join(said), finished

    def _ran(self, running: "asyncio.Future[Finished]") -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # told to who waited, and to the turn's followers

    async def resume(self, owner: str, turn: str, *, after: int) -> Followed:
        """A turn of `owner` from its piece `after` on. Raises `NotFound` and `ResumeExpired`."""
        return await self._turns.follow(owner, turn, after=after)

    async def stop(self, owner: str, turn: str) -> None:
        """End a turn of `owner`, keeping what was said; return once that is done. Raises `NotFound`."""
        await self._turns.stop(owner, turn)

    @property
    def outlives(self) -> bool:
        """Whether what was said of a turn can be had after the end of this process."""
        return self._turns.shared is not None

    # Called by `Answering`

    def keep(self, turn: Turn, conversation: Conversation) -> "asyncio.Future[None]":
        writing = asyncio.ensure_future(self._history.append(conversation, turn))
        self._writings.add(writing)
        writing.add_done_callback(self._writings.discard)
        return writing

    def detached(self, turn: TurnUnderWay, *, question_bytes: int) -> None:
        self._detached_turns.add(turn, question_bytes=question_bytes)

    def ended(self, turn: TurnUnderWay) -> None:
        self._detached_turns.remove(turn)
        self._turns.ended(turn)

    # The end

    async def drain(self, drain_s: float) -> None:
        """Let turns finish for up to `drain_s` seconds, then stop those without a client.

        It waits for all of them: one whose client leaves meanwhile may have to finish without it.
        """
        self.draining = True
        try:
            async with asyncio.timeout(drain_s):
                for turn in self._turns.under_way():
                    await ended(turn)
        except TimeoutError:
            for turn in self._detached():
                turn.stop_with(shutting_down())

    async def settle(self) -> None:
        """Wait until every turn has ended and is written; failures were told to those who asked."""
        for turn in self._turns.under_way():
            turn.stop_with(shutting_down())
        await asyncio.gather(*self._running, return_exceptions=True)
        for turn in self._turns.under_way():
            if turn.detached:
                await ended(turn)
        await asyncio.gather(*self._writings, return_exceptions=True)
        self._detached_turns.close()
        await self._turns.close()

    def _detached(self) -> list[TurnUnderWay]:
        return [turn for turn in self._turns.under_way() if turn.detached]

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
