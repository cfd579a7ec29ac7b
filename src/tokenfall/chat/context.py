"""Which part of a conversation the model sees. Pure."""

from collections.abc import Sequence

from tokenfall.messages import Message
from tokenfall.ports import Turn


def context(turns: Sequence[Turn], question: Message, *, system: Message | None, limit: int) -> tuple[Message, ...]:
    """The messages for the model: the system message, the newest whole turns, the question.

    At most `limit` messages are sent besides the system message: the question always, before it as many whole turns
    as fit. A model that is sent half a turn answers the wrong half.
    """
    fitting = min(max(0, (limit - 1) // 2), len(turns))
    said = [message for turn in turns[len(turns) - fitting :] for message in (turn.question, turn.answer)]
    return (*([system] if system else []), *said, question)
