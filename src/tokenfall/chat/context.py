"""Which part of a conversation the model sees. Pure."""

from collections.abc import Sequence

from tokenfall.conversations import Turn
from tokenfall.messages import Message

BYTES_A_TOKEN = 4
TOKENS_A_MESSAGE = 4


def turns_within(messages: int) -> int:
    """How many whole turns fit into so many messages: a model that is sent half a turn answers the wrong half."""
    return messages // 2


def estimated_tokens(message: Message) -> int:
    """About how many tokens a message is to a model: a token for each 4 bytes of UTF-8, and 4 for its frame.

    English runs at 4 to 5 bytes a token, most other scripts at fewer characters but as many bytes. A budget needs a
    bound that no tokenizer's tables have to be loaded for, not the number that the provider bills.
    """
    size = len(message.content.encode("utf-8", "surrogatepass"))
    return TOKENS_A_MESSAGE + -(-size // BYTES_A_TOKEN)


def context(
    turns: Sequence[Turn], question: Message, *, system: Message | None, limit: int, max_tokens: int | None = None
) -> tuple[Message, ...]:
    """The messages for the model: the system message, the newest whole turns within `limit` messages, the question.

    With `max_tokens`, so many of these turns that all messages together stay within that estimate; the system message
    and the question are sent whatever they take.
    """
    fixed = (*([system] if system else []), question)
    left = None if max_tokens is None else max_tokens - sum(map(estimated_tokens, fixed))
    said: list[Message] = []
    for turn in reversed(turns[max(0, len(turns) - turns_within(limit)) :]):
        if left is not None:
            left -= estimated_tokens(turn.question) + estimated_tokens(turn.answer)
            if left < 0:
                break
        said += (turn.answer, turn.question)
    return (*fixed[:-1], *reversed(said), question)
