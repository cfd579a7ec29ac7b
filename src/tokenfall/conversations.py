"""Conversations and their turns, as they are stored and shared between processes. Pure data."""

from typing import Literal

from msgspec import Struct

from tokenfall.errors import error_of_code
from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import Message


class Conversation(Struct, frozen=True):
    """Whose conversation, and which. `owner` is the fingerprint of an API key, "" where no key is asked for."""

    owner: str
    id: str


TurnStatus = Literal["complete", "interrupted"]


class Turn(Struct, frozen=True, kw_only=True):
    """A question and its answer, the unit of history. `asked_at` and `answered_at` are Unix seconds.

    `ttft_s` is the time to the first token, `tokens_per_s` the rate after it; None where too few came to tell.
    `replaces` is the id of the turn in whose place this one was asked. `end_code` is the code of the error that
    interrupted it (`stopped`, `upstream_reset`); "" for a complete turn, and in records from before it was kept.
    `thought_s` is how long the model reasoned; the beginning of its reasoning is the answer's `thought`.
    """

    id: str
    question: Message
    answer: Message
    status: TurnStatus
    model: str
    asked_at: float
    answered_at: float
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    ttft_s: float | None = None
    tokens_per_s: float | None = None
    replaces: str | None = None
    end_code: str = ""
    thought_s: float | None = None


LISTED = 100
"""Conversations in a list where nobody says how many."""


class ConversationInfo(Struct, frozen=True):
    """One line of a list of conversations. `last_activity` is in Unix seconds.

    `title` is what the conversation was named; until then, the beginning of its first question.
    """

    id: str
    last_activity: float
    messages: int
    title: str = ""


class TurnEnd(Struct, frozen=True):
    """How a turn ended: `finished` genuinely, or with an error's `code` and `message`."""

    finished: Finished | None = None
    code: str = ""
    message: str = ""

    def outcome(self) -> Finished:
        """The genuine end. Raises the error that it was instead."""
        if self.finished is None:
            raise error_of_code(self.code, self.message)
        return self.finished


class Claim(Struct, frozen=True):
    """What an idempotency key stands for: one turn, asked by one request. `digest` tells requests apart."""

    turn: str
    conversation: str
    digest: str
