"""Conversations and their turns, as stored and as shared between processes. Pure data."""

from sys import getsizeof
from typing import Literal

from msgspec import Struct

from tokenfall.errors import error_of_code
from tokenfall.events import EndReason, Finished, Usage
from tokenfall.messages import Message


class Conversation(Struct, frozen=True):
    """Identifies a conversation. `owner` is the fingerprint of an API key, "" if the server requires no key."""

    owner: str
    id: str


TurnStatus = Literal["complete", "interrupted"]


class Variant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An earlier response to the question of a turn, replaced by a new one. Its fields are those of `Turn`."""

    content: str
    status: TurnStatus
    model: str
    answered_at: float
    finish_reason: EndReason | None = None
    end_code: str = ""


class Turn(Struct, frozen=True, kw_only=True):
    """A user message and the model's response, the unit of history. `asked_at` and `answered_at` are Unix seconds.

    `ttft_s` is the time to the first token, `tokens_per_s` the rate after it; None if there are too few tokens.
    `replaces` is the id of the turn that this one replaces. `end_code` is the code of the error that interrupted it
    (`stopped`, `upstream_reset`); "" for a complete turn, and in records stored before this field existed. `thought_s`
    is the reasoning time in seconds; `answer.thought` is the beginning of the reasoning text. `variants` are earlier
    responses to the same question, oldest first.
    """

    id: str
    question: Message
    answer: Message
    status: TurnStatus
    model: str
    asked_at: float
    answered_at: float
    finish_reason: EndReason | None = None
    usage: Usage | None = None
    ttft_s: float | None = None
    tokens_per_s: float | None = None
    replaces: str | None = None
    end_code: str = ""
    thought_s: float | None = None
    variants: tuple[Variant, ...] = ()


MAX_VARIANTS = 4
"""Maximum number of earlier responses of a turn; the oldest are dropped."""

MAX_VARIANTS_CHARACTERS = 2**20
"""Maximum size of all of them: they are read with the turn, also when only its response is needed."""


def variants_after(replaced: Turn) -> tuple[Variant, ...]:
    """The variants of a turn that is a new response to the question of `replaced`."""
    newest = Variant(
        content=replaced.answer.content,
        status=replaced.status,
        model=replaced.model,
        answered_at=replaced.answered_at,
        finish_reason=replaced.finish_reason,
        end_code=replaced.end_code,
    )
    variants = (*replaced.variants, newest)[-MAX_VARIANTS:]
    while sum(len(each.content) for each in variants) > MAX_VARIANTS_CHARACTERS:
        variants = variants[1:]
    return variants


def text_bytes(turn: Turn) -> int:
    """Memory of the texts of a turn."""
    size = getsizeof(turn.question.content) + getsizeof(turn.answer.content) + getsizeof(turn.answer.thought)
    for variant in turn.variants:
        size += getsizeof(variant.content)
    return size


DEFAULT_PAGE_SIZE = 100
"""Default number of conversations in a list."""


class ConversationInfo(Struct, frozen=True):
    """An entry of a list of conversations. `last_activity` is in Unix seconds.

    `title` is the name given to the conversation; without one, the beginning of its first user message.
    """

    id: str
    last_activity: float
    messages: int
    title: str = ""
    pinned: bool = False


class TurnEnd(Struct, frozen=True):
    """How a turn ended: with `finished`, or with an error's `code` and `message`."""

    finished: Finished | None = None
    code: str = ""
    message: str = ""

    def outcome(self) -> Finished:
        """The final event. Raises the error if the turn failed."""
        if self.finished is None:
            raise error_of_code(self.code, self.message)
        return self.finished


class Claim(Struct, frozen=True):
    """The turn that an idempotency key is bound to. `digest` is the digest of the request that created the turn."""

    turn: str
    conversation: str
    digest: str
