"""Selects the messages of a conversation that are sent to the model. Pure."""

from collections.abc import Sequence

from tokenfall.conversations import Turn
from tokenfall.messages import Message
from tokenfall.utf8 import utf8_size

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4


def turns_within(messages: int) -> int:
    """Number of complete turns in `messages`: after half a turn, the model would respond to the wrong message."""
    return messages // 2


def estimated_tokens(message: Message) -> int:
    """Estimated tokens of a message: one per 4 bytes of UTF-8, and 4 for the message itself.

    English has 4 to 5 bytes per token; most other scripts have fewer characters, but as many bytes. The estimate limits
    the context only, so it needs no tokenizer tables.
    """
    size = utf8_size(message.content)
    return TOKENS_PER_MESSAGE + -(-size // BYTES_PER_TOKEN)


def turns_in_context(
    turns: Sequence[Turn], question: Message, *, system: Message | None, limit: int, max_tokens: int | None = None
) -> Sequence[Turn]:
    """The newest of `turns`, oldest first, that are sent to the model with `question`: at most `limit` messages.

    With `max_tokens`, the oldest turns are dropped until the estimate for all messages fits.
    """
    within = turns[max(0, len(turns) - turns_within(limit)) :]
    if max_tokens is None:
        return within
    remaining = max_tokens - sum(map(estimated_tokens, (*([system] if system else []), question)))
    for place in reversed(range(len(within))):
        remaining -= estimated_tokens(within[place].question) + estimated_tokens(within[place].answer)
        if remaining < 0:
            return within[place + 1 :]
    return within


def context(
    turns: Sequence[Turn], question: Message, *, system: Message | None, limit: int, max_tokens: int | None = None
) -> tuple[Message, ...]:
    """The messages for the model: the system message, the turns of `turns_in_context`, the question.

    The system message and the question are always included.
    """
    sent = turns_in_context(turns, question, system=system, limit=limit, max_tokens=max_tokens)
    history = [message for turn in sent for message in (turn.question, turn.answer)]
    return (*([system] if system else []), *history, question)
