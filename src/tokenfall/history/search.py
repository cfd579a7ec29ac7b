"""Search in the titles and messages of conversations. Must not depend on a store.

A conversation is found if each word of the search occurs in its title or in one of its messages, ignoring case and word
boundaries. Texts are read in batches and compared in pieces, so that a search does not block the event loop.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from tokenfall.conversations import ConversationInfo, Turn
from tokenfall.ports import HistoryStore
from tokenfall.slicing.computation import Sliced
from tokenfall.slicing.scheduler import run_sliced

MAX_SCANNED = 1_000
"""Maximum number of conversations that one page of a search scans; the page then ends with those found so far."""

PAGE_CHARACTERS = 2**24
"""Maximum number of characters that one page scans."""

CONVERSATION_BYTES = 2**22
"""A store that reads documents searches only the oldest turns of a conversation, up to this size."""

PIECE_CHARACTERS = 16_384
"""Characters that are compared in one slice."""

BATCH = 50
"""Maximum number of conversations in one read."""

BATCH_BYTES = 2**18
"""A store that reads documents ends a batch with the conversation that exceeds this size."""


async def search(
    history: HistoryStore, owner: str, *, words: Collection[str], limit: int, after: str | None = None
) -> list[ConversationInfo]:
    """A page of those `conversations` of `history` in which all `words` occur.

    It scans a limited number of conversations and characters, and then ends with those found so far.
    """
    conversations = await history.conversations(owner, limit=MAX_SCANNED, after=after)
    scan = Scan(words, limit)
    place = 0
    while place < len(conversations) and not scan.is_done:
        batch = conversations[place : place + BATCH]
        texts = await history.texts(owner, [each.id for each in batch])
        await run_sliced(scan.add(zip(batch, texts, strict=False)))
        place += len(texts)
    return scan.found


class Scan:
    """One page of a search: takes conversations in the order of the page until `is_done`."""

    def __init__(self, words: Collection[str], limit: int, *, characters: int = PAGE_CHARACTERS) -> None:
        self.found: list[ConversationInfo] = []
        self._words = {word.casefold() for word in words}
        self._overlap = max(map(len, self._words)) - 1
        self._limit = limit
        self._left = characters

    @property
    def is_done(self) -> bool:
        """Whether the page is full, or its limit of characters is reached."""
        return len(self.found) >= self._limit or self._left <= 0

    def add(self, batch: Iterable[tuple[ConversationInfo, Iterable[str] | None]]) -> Sliced[None]:
        """Append the conversations with all words to `found`, until the page is done."""
        for conversation, texts in batch:
            if self.is_done:
                return
            if texts is not None and (yield from self._has_all_words(chain((conversation.title,), texts))):
                self.found.append(conversation)
            yield

    def _has_all_words(self, texts: Iterable[str]) -> Sliced[bool]:
        missing = self._words
        for piece in self._pieces(texts):
            missing = {word for word in missing if word not in piece}
            if not missing:
                return True
            if self._left <= 0:
                break
            yield
        return False

    def _pieces(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts in pieces that overlap, so that a word on a boundary is complete in one of them.

        Casefolding never shortens a text, so the overlap is long enough in characters of the original.
        """
        for text in texts:
            for start in range(0, len(text), PIECE_CHARACTERS):
                self._left -= min(PIECE_CHARACTERS, len(text) - start)
                yield text[start : start + PIECE_CHARACTERS + self._overlap].casefold()


def texts_of(turns: Iterable[Turn]) -> Iterator[str]:
    """The texts that a search compares."""
    for turn in turns:
        yield turn.question.content
        yield turn.answer.content
