"""Which part of a conversation the model sees. Pure."""

from collections.abc import Sequence

from tokenfall.messages import Message
from tokenfall.ports import Turn


def turns_within(messages: int) -> int:
    """How many whole turns fit into so many messages: a model that is sent half a turn answers the wrong half."""
    return messages // 2


def context(turns: Sequence[Turn], question: Message, *, system: Message | None, limit: int) -> tuple[Message, ...]:
    """The messages for the model: the system message, the newest whole turns within `limit` messages, the question."""
    fitting = min(turns_within(limit), len(turns))
    said = [message for turn in turns[len(turns) - fitting :] for message in (turn.question, turn.answer)]
    return (*([system] if system else []), *said, question)
