"""Selects the messages of a conversation that are sent to the model. Pure."""

from collections.abc import Sequence

from tokenfall.conversations import Turn
from tokenfall.messages import Message

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
    size = len(message.content.encode("utf-8", "surrogatepass"))
    return TOKENS_PER_MESSAGE + -(-size // BYTES_PER_TOKEN)


def context(
    turns: Sequence[Turn], question: Message, *, system: Message | None, limit: int, max_tokens: int | None = None
) -> tuple[Message, ...]:
    """The messages for the model: the system message, the newest complete turns within `limit` messages, the question.

    With `max_tokens`, the oldest turns are dropped until the estimate for all messages fits. The system message and the
    question are always included.
    """
    fixed = (*([system] if system else []), question)
    remaining = None if max_tokens is None else max_tokens - sum(map(estimated_tokens, fixed))
    history: list[Message] = []
    for turn in reversed(turns[max(0, len(turns) - turns_within(limit)) :]):
        if remaining is not None:
            remaining -= estimated_tokens(turn.question) + estimated_tokens(turn.answer)
            if remaining < 0:
                break
        history += (turn.answer, turn.question)
    return (*fixed[:-1], *reversed(history), question)
