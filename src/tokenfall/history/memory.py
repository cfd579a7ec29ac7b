"""In-memory history, limited in messages and bytes; lost when the process ends."""

from collections import OrderedDict, deque
from collections.abc import Awaitable, Collection, Iterable, Sequence
from itertools import islice
from operator import attrgetter

from tokenfall.conversations import DEFAULT_PAGE_SIZE, Conversation, ConversationInfo, Turn
from tokenfall.errors import page_start_not_found
from tokenfall.history.recency import Recency
from tokenfall.history.search import MAX_SCANNED, search, texts_of
from tokenfall.history.titles import title_of
from tokenfall.slicing.computation import NOTHING

TURN_OVERHEAD_BYTES = 600
"""Memory of a turn's objects without its text, so that empty turns also count towards the limit."""

VARIANT_OVERHEAD_BYTES = 200
"""The same for each of its variants."""

_ID = attrgetter("id")


def size_bytes(turn: Turn) -> int:
    """Upper bound of the memory that `turn` uses."""
    texts = [turn.question.content, turn.answer.content, turn.answer.thought]
    texts += [variant.content for variant in turn.variants]
    return TURN_OVERHEAD_BYTES + VARIANT_OVERHEAD_BYTES * len(turn.variants) + sum(map(_text_bytes, texts))


def _text_bytes(text: str) -> int:
    """CPython stores 1, 2 or 4 bytes per character and, once a non-ASCII string was encoded, its UTF-8 form too."""
    if text.isascii():
        return len(text)
    beyond_16_bits = len(text.encode("utf-16", "surrogatepass")) > 2 * len(text) + 2  # a byte order mark
    return len(text) * (4 if beyond_16_bits else 2) + len(text.encode("utf-8", "surrogatepass"))


class MemoryHistory:
    """Stores at most `limit` messages per conversation and `max_bytes` in total; drops complete turns, oldest first.

    Over `max_bytes`, turns of the least recently active conversation are dropped.
    """

    def __init__(self, *, limit: int, max_bytes: int) -> None:
        self._max_turns = max(1, limit // 2)
        self._max_bytes = max_bytes
        self._bytes = 0
        self._conversations: OrderedDict[Conversation, deque[Turn]] = OrderedDict()
        self._titles: dict[Conversation, str] = {}
        self._pinned: set[Conversation] = set()
        self._owners: dict[str, Recency] = {}

    def append(self, conversation: Conversation, turn: Turn) -> Awaitable[None]:
        self._append(conversation, turn)
        return NOTHING

    def _append(self, conversation: Conversation, turn: Turn) -> None:
        turns = self._conversations.setdefault(conversation, deque())
        if turn.id in map(_ID, turns):
            return
        self._conversations.move_to_end(conversation)
        self._owners.setdefault(conversation.owner, Recency()).use(conversation.id)
        if turn.replaces is not None and turn.replaces in map(_ID, turns):
            self._drop_from(turns, turn.replaces)
        self._titles.setdefault(conversation, title_of(turn))
        turns.append(turn)
        self._bytes += size_bytes(turn)
        while len(turns) > self._max_turns:
            self._drop_oldest(conversation)
        while self._bytes > self._max_bytes and not self._holds_only(turn):
            self._drop_oldest(next(iter(self._conversations)))

    async def turns(self, conversation: Conversation, last: int | None = None) -> Sequence[Turn] | None:
        turns = self._conversations.get(conversation)
        if turns is None:
            return None
        first = 0 if last is None else max(0, len(turns) - last)
        return list(islice(turns, first, None))

    async def clear(self, conversation: Conversation) -> bool:
        turns = self._conversations.pop(conversation, None)
        self._titles.pop(conversation, None)
        self._pinned.discard(conversation)
        if turns is not None:
            self._unlist(conversation)
        self._bytes -= sum(size_bytes(turn) for turn in turns or ())
        return turns is not None

    async def conversations(
        self, owner: str, *, limit: int = DEFAULT_PAGE_SIZE, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        try:
            names = self._owners.get(owner, Recency()).page(limit, after)
        except KeyError:
            raise page_start_not_found() from None
        return [self._conversation_info(Conversation(owner, name)) for name in names]

    async def search(
        self, owner: str, words: Collection[str], *, limit: int = DEFAULT_PAGE_SIZE, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        async def read(names: Sequence[str]) -> list[Iterable[str] | None]:
            return [self._texts(Conversation(owner, name)) for name in names]

        listed = await self.conversations(owner, limit=MAX_SCANNED, after=after)
        return await search(listed, words, read=read, limit=limit)

    async def rename(self, conversation: Conversation, title: str) -> bool:
        if conversation not in self._conversations:
            return False
        self._titles[conversation] = title
        return True

    async def pin(self, conversation: Conversation, pinned: bool) -> bool:
        if conversation not in self._conversations:
            return False
        (self._pinned.add if pinned else self._pinned.discard)(conversation)
        return True

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return

    def _conversation_info(self, conversation: Conversation) -> ConversationInfo:
        turns = self._conversations[conversation]
        return ConversationInfo(
            conversation.id,
            turns[-1].answered_at,
            2 * len(turns),
            self._titles[conversation],
            conversation in self._pinned,
        )

    def _texts(self, conversation: Conversation) -> Iterable[str] | None:
        turns = self._conversations.get(conversation)
        return None if turns is None else texts_of(tuple(turns))  # a copy: turns may be added during the search

    def _unlist(self, conversation: Conversation) -> None:
        listed = self._owners[conversation.owner]
        listed.drop(conversation.id)
        if not len(listed):
            del self._owners[conversation.owner]

    def _holds_only(self, turn: Turn) -> bool:
        return len(self._conversations) == 1 and next(iter(self._conversations.values()))[0] is turn

    def _drop_from(self, turns: deque[Turn], first: str | None) -> None:
        """Drop the turn `first`, which must exist, and all later turns."""
        dropped = None
        while dropped != first:
            newest = turns.pop()
            self._bytes -= size_bytes(newest)
            dropped = newest.id

    def _drop_oldest(self, conversation: Conversation) -> None:
        turns = self._conversations[conversation]
        self._bytes -= size_bytes(turns.popleft())
        if not turns:
            del self._conversations[conversation]
            del self._titles[conversation]
            self._pinned.discard(conversation)
            self._unlist(conversation)
