"""What a caller asks of a model. Pure data: no transport, no dialect, no clock."""

from typing import Literal

from msgspec import Struct

Role = Literal["system", "user", "assistant"]


class Message(Struct, frozen=True):
    """One message of a conversation; `content` is text, never empty for a user's turn."""

    role: Role
    content: str


class ChatRequest(Struct, frozen=True, kw_only=True):
    """One question to an engine: the whole context, oldest message first, the user's new turn last.

    `max_tokens` bounds the answer. `temperature` is the provider's own scale, None for its default.
    `simulation` overrides the simulator's timing in its own grammar (`gap=20ms`); other engines ignore it.
    """

    messages: tuple[Message, ...]
    model: str
    max_tokens: int
    temperature: float | None = None
    simulation: str = ""
