"""A chat request and a turn, for the tests of the plain API."""

import json

from tokenfall.conversations import Turn
from tokenfall.messages import Message

USER = {"role": "user", "content": "Hi"}

TURN = Turn(
    id="t1",
    question=Message("user", "Why?"),
    answer=Message("assistant", "So."),
    status="complete",
    model="m",
    asked_at=1.5,
    answered_at=2.5,
)


def body(**fields: object) -> bytes:
    """The body of `POST /chat`."""
    return json.dumps({"messages": [USER], **fields}).encode()
