"""Decodes and encodes `POST /chat` and turns. Pure."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest, NotFound
from tokenfall.events import EndReason, Finished
from tokenfall.messages import Message
from tokenfall.wire.dialect import MAX_ITEMS, Count, ModelName
from tokenfall.wire.json_lines import one_line
from tokenfall.wire.json_pieces import json_pieces
from tokenfall.wire.plain.conversations import DEFAULT_CONVERSATION, ConversationId, TokenUsage, TurnId, token_usage

TurnIdOrNone = Annotated[str, Meta(pattern=r"^(turn_[0-9a-f]{24})?\Z")]
"""The id of a turn, "" for none."""

MAX_NUMBER_DIGITS = 12

_encode = msgspec.json.encode


class _Message(Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class ChatBody(Struct, frozen=True):
    """The body of `POST /chat`. Fields that are not listed are accepted and ignored."""

    messages: Annotated[list[_Message], Meta(min_length=1, max_length=MAX_ITEMS)]
    stream: bool = True
    conversation: ConversationId = DEFAULT_CONVERSATION
    model: ModelName | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    on_disconnect: Literal["cancel", "finish"] | None = None
    replaces: TurnId | None = None
    continues: TurnId | None = None
    after: TurnIdOrNone | None = None
    announce: bool = False
    details: bool = False

    @property
    def question(self) -> Message:
        """The last user message, which starts the new turn. Raises `InvalidRequest` if there is none."""
        message = next((message for message in reversed(self.messages) if message.role == "user"), None)
        if message is None or not message.content.strip():
            raise InvalidRequest("the last user message in messages is the new turn, and must not be empty")
        return Message("user", message.content)

    def digest_bytes(self) -> bytes:
        """The part of the request that an idempotency key identifies: all but `after`, which a retry may change."""
        return _encode(msgspec.structs.replace(self, after=None))

    @property
    def system(self) -> Message | None:
        """The system message, if it is the first message."""
        first = self.messages[0]
        return Message("system", first.content) if first.role == "system" else None


class ChatResponse(Struct, frozen=True):
    """The response of `POST /chat` with `"stream": false`."""

    content: str
    finish_reason: EndReason
    usage: TokenUsage | None
    model: str
    conversation: str


T = TypeVar("T")

_chat_decoder = msgspec.json.Decoder(ChatBody)


def decode_chat(body: bytes) -> ChatBody:
    """Decode the body of `POST /chat`. Raises `InvalidRequest` with the field and the expected type."""
    chat = _decoded(_chat_decoder, body, route="POST /chat")
    _ = chat.question
    if chat.replaces is not None and chat.continues is not None:
        raise InvalidRequest("a turn takes replaces or continues, not both")
    return chat


def _decoded(decoder: "msgspec.json.Decoder[T]", body: bytes, *, route: str) -> T:
    """Raises `InvalidRequest`."""
    try:
        return decoder.decode(body)
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not valid for {route}: {error}") from None


def content_frame(number: int, text: str) -> bytes:
    """The frame of a turn's token number `number`, from 1. Its id is sent as Last-Event-ID to resume the stream."""
    return b'id: %d\ndata: {"content":%b}\n\n' % (number, one_line(_encode(text)))


def reasoning_frame(text: str) -> bytes:
    """The frame of a piece of reasoning, for clients that set `details`. It has no id."""
    return b'event: reasoning\ndata: {"content":%b}\n\n' % one_line(_encode(text))


def end_frame(finished: Finished) -> bytes:
    """The frame with a turn's finish reason and usage, before `[DONE]`, for clients that set `details`."""
    document = {"finish_reason": finished.end_reason, "usage": token_usage(finished.usage), "model": finished.model}
    return b"event: end\ndata: %b\n\n" % one_line(_encode(document))


class ChatDefaults(Struct, frozen=True, kw_only=True):
    """The response of `GET /chat/defaults`: what applies to a question that does not set it."""

    model: str
    simulated: bool
    """Whether the simulator generates the responses of `model`."""
    upstream: bool
    """Whether the server has an upstream, whose models a question may name."""
    max_tokens: Annotated[int, Meta(ge=1)]
    context_messages: Count
    """Number of messages of the conversation that the model gets with a question."""
    context_tokens: Count | None
    """Limit of their estimated tokens, None for no limit."""


class ContextBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /chat/context`. `system` is the system message of the next question; None for the default."""

    conversation: ConversationId = DEFAULT_CONVERSATION
    system: str | None = None


class ChatContext(Struct, frozen=True, kw_only=True):
    """The response of `POST /chat/context`: the messages that the model gets with the next question."""

    first: TurnIdOrNone
    """The oldest turn that the model gets, "" if it gets none."""
    messages: Count
    """Number of these messages."""
    max_messages: Count
    max_tokens: Count | None
    """Limit of their estimated tokens, None for no limit."""
    max_stored: Count
    """Number of messages of a conversation that the server stores; it deletes older ones."""


_context_decoder = msgspec.json.Decoder(ContextBody)


def decode_context(body: bytes) -> ContextBody:
    """Decode the body of `POST /chat/context`. Raises `InvalidRequest`."""
    return _decoded(_context_decoder, body, route="POST /chat/context")


def turn_id(text: str) -> str:
    """`text` if it has the form of a turn id. Raises `NotFound`."""
    try:
        checked: str = msgspec.convert(text, TurnId)
    except msgspec.ValidationError:
        raise NotFound("there is no such turn; a turn's id is in the X-Turn-Id response header") from None
    return checked


def event_number(text: str) -> int:
    """The token number in a Last-Event-ID, 0 for the beginning. Raises `InvalidRequest`."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS):
        raise InvalidRequest("Last-Event-ID takes the number of an event of this turn, 0 for all")
    return int(text)


def complete_response(text: str, finished: Finished, *, conversation: str) -> Iterator[bytes]:
    """The response of `POST /chat` with `"stream": false`."""
    return json_pieces(
        ChatResponse(
            text, finished.end_reason, token_usage(finished.usage), model=finished.model, conversation=conversation
        )
    )
