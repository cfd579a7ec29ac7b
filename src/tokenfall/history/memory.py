"""In-memory history, limited in messages and bytes; lost when the process ends."""

from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Sequence
from itertools import dropwhile, islice

from tokenfall.conversations import DEFAULT_PAGE_SIZE, Conversation, ConversationInfo, Turn, text_bytes
from tokenfall.errors import page_start_not_found
from tokenfall.history.newest import within_bytes
from tokenfall.history.recency import Recency
from tokenfall.history.search import texts_of
from tokenfall.history.titles import title_of
from tokenfall.slicing.computation import NOTHING
from tokenfall.utf8 import utf8_size

TURN_OVERHEAD_BYTES = 760
"""Memory of a turn's objects without its texts, so that empty turns also count towards the limit."""

VARIANT_OVERHEAD_BYTES = 300
"""The same for each of its variants."""

CONVERSATION_OVERHEAD_BYTES = 1_200
"""The same for a conversation: its entry, its place in the list, its id and the title's object."""


def size_bytes(turn: Turn) -> int:
    """Upper bound of the memory that `turn` uses."""
    texts = [turn.question.content, turn.answer.content, turn.answer.thought, turn.model]
    for variant in turn.variants:
        texts += (variant.content, variant.model)
    return TURN_OVERHEAD_BYTES + VARIANT_OVERHEAD_BYTES * len(turn.variants) + sum(map(_text_bytes, texts))


def _text_bytes(text: str) -> int:
    """CPython stores 1, 2 or 4 bytes per character and, once a non-ASCII string was encoded, its UTF-8 form too."""
    if text.isascii():
        return len(text)
    beyond_16_bits = len(text.encode("utf-16", "surrogatepass")) > 2 * len(text) + 2  # a byte order mark
    return len(text) * (4 if beyond_16_bits else 2) + utf8_size(text)


def conversation_bytes(title: str) -> int:
    """Upper bound of the memory that a conversation uses without its turns."""
    return CONVERSATION_OVERHEAD_BYTES + _text_bytes(title)


class _Stored:
    """One conversation."""

    __slots__ = ("is_pinned", "title", "turns")

    def __init__(self, title: str) -> None:
        self.turns: dict[str, Turn] = {}  # by id, oldest first
        self.title = title
        self.is_pinned = False


class MemoryHistory:
    """Stores at most `limit` messages per conversation and `max_bytes` in total; drops complete turns, oldest first.

    Over `max_bytes`, turns of the least recently active conversation are dropped.
    """

    def __init__(self, *, limit: int, max_bytes: int) -> None:
        self._max_turns = max(1, limit // 2)
        self._max_bytes = max_bytes
        self._bytes = 0
        self._conversations: OrderedDict[Conversation, _Stored] = OrderedDict()
        self._owners: dict[str, Recency] = {}

    def append(self, conversation: Conversation, turn: Turn) -> Awaitable[None]:
        stored = self._conversations.get(conversation)
        if stored is None:
            stored = self._conversations[conversation] = _Stored(title_of(turn))
            self._bytes += conversation_bytes(stored.title)
        turns = stored.turns
        if turn.id in turns:
            return NOTHING
        self._conversations.move_to_end(conversation)
        self._owners.setdefault(conversation.owner, Recency()).use(conversation.id)
        if turn.replaces in turns:
            self._drop_from(turns, turn.replaces)
        turns[turn.id] = turn
        self._bytes += size_bytes(turn)
        while len(turns) > self._max_turns:
            self._drop_oldest(conversation)
        self._enforce_max_bytes()
        return NOTHING

    async def turns(
        self, conversation: Conversation, last: int | None = None, *, until: str = "", max_bytes: int | None = None
    ) -> Sequence[Turn] | None:
        stored = self._conversations.get(conversation)
        if stored is None:
            return None
        newest_first: Iterable[Turn] = reversed(stored.turns.values())
        if until:
            newest_first = dropwhile(lambda turn: turn.id != until, newest_first)
        found = list(within_bytes(islice(newest_first, last), max_bytes, size=text_bytes))
        found.reverse()
        return found

    async def size_bytes(self, conversation: Conversation) -> int:
        stored = self._conversations.get(conversation)
        return 0 if stored is None else sum(map(text_bytes, stored.turns.values()))

    async def clear(self, conversation: Conversation) -> bool:
        stored = self._conversations.get(conversation)
        if stored is None:
            return False
        self._bytes -= sum(map(size_bytes, stored.turns.values()))
        self._remove(conversation)
        return True

    async def conversations(
        self, owner: str, *, limit: int = DEFAULT_PAGE_SIZE, after: str | None = None
    ) -> Sequence[ConversationInfo]:
        try:
            names = self._owners.get(owner, Recency()).page(limit, after)
        except KeyError:
            raise page_start_not_found() from None
        return [self._conversation_info(Conversation(owner, name)) for name in names]

    async def texts(self, owner: str, ids: Sequence[str]) -> Sequence[Iterable[str] | None]:
        found = [self._conversations.get(Conversation(owner, each)) for each in ids]
        # copies, because turns may be added before a text is read
        return [None if stored is None else texts_of(tuple(stored.turns.values())) for stored in found]

    async def rename(self, conversation: Conversation, title: str) -> bool:
        stored = self._conversations.get(conversation)
        if stored is None:
            return False
        self._bytes -= conversation_bytes(stored.title)
        stored.title = title
        self._bytes += conversation_bytes(stored.title)
        self._enforce_max_bytes()
        return True

    async def pin(self, conversation: Conversation, pinned: bool) -> bool:
        stored = self._conversations.get(conversation)
        if stored is None:
            return False
        stored.is_pinned = pinned
        return True

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return

    def _conversation_info(self, conversation: Conversation) -> ConversationInfo:
        stored = self._conversations[conversation]
        newest = next(reversed(stored.turns.values()))
        return ConversationInfo(
            conversation.id, newest.answered_at, 2 * len(stored.turns), stored.title, stored.is_pinned
        )

    def _enforce_max_bytes(self) -> None:
        """Drop the oldest turns of the least recently active conversations, but never the only turn."""
        while self._bytes > self._max_bytes:
            oldest = next(iter(self._conversations))
            if len(self._conversations) == 1 and len(self._conversations[oldest].turns) == 1:
                return
            self._drop_oldest(oldest)

    def _drop_from(self, turns: dict[str, Turn], first: str | None) -> None:
        """Drop the turn `first`, which must exist, and all later turns."""
        dropped = None
        while dropped != first:
            dropped, newest = turns.popitem()
            self._bytes -= size_bytes(newest)

    def _drop_oldest(self, conversation: Conversation) -> None:
        turns = self._conversations[conversation].turns
        self._bytes -= size_bytes(turns.pop(next(iter(turns))))
        if not turns:
            self._remove(conversation)

    def _remove(self, conversation: Conversation) -> None:
        """Remove a conversation, whose turns are no longer counted."""
        self._bytes -= conversation_bytes(self._conversations.pop(conversation).title)
        listed = self._owners[conversation.owner]
        listed.drop(conversation.id)
        if not len(listed):
            del self._owners[conversation.owner]
