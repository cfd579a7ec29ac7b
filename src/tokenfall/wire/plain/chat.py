"""Tokenfall's own dialect: decodes and encodes `POST /chat`, turns, `/history` and `/conversations`. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tokenfall.conversations import LISTED, ConversationInfo, Turn
from tokenfall.errors import InvalidRequest, NotFound
from tokenfall.events import Finished, Usage
from tokenfall.messages import Message
from tokenfall.wire.dialect import MAX_ITEMS, check_json
from tokenfall.wire.json_lines import one_line
from tokenfall.wire.json_pieces import json_pieces

ConversationId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:@-]{1,64}\Z")]
"""1 to 64 letters, digits or `._:@-`."""

TurnId = Annotated[str, Meta(pattern=r"^turn_[0-9a-f]{24}\Z")]
"""The id of a turn, as in `X-Turn-Id` and the history."""

NewestTurn = Annotated[str, Meta(pattern=r"^(turn_[0-9a-f]{24})?\Z")]
"""The id of a conversation's newest turn, "" if it has none."""

DEFAULT_CONVERSATION = "default"

MAX_NUMBER_DIGITS = 12
MAX_LISTED = 1_000
"""Largest `limit` of `GET /conversations`."""

_TURN_ID = re.compile(r"turn_[0-9a-f]{24}")

_encode = msgspec.json.encode


class _Message(Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class ChatBody(Struct, frozen=True):
    """The body of `POST /chat`. Fields that are not listed are accepted and ignored."""

    messages: Annotated[list[_Message], Meta(min_length=1, max_length=MAX_ITEMS)]
    stream: bool = True
    conversation: ConversationId = DEFAULT_CONVERSATION
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    on_disconnect: Literal["cancel", "finish"] | None = None
    replaces: TurnId | None = None
    continues: TurnId | None = None
    after: NewestTurn | None = None
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


class _Usage(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


_chat_decoder = msgspec.json.Decoder(ChatBody)


def decode_chat(body: bytes) -> ChatBody:
    """Decode the body of `POST /chat`. Raises `InvalidRequest` with the field and the expected type."""
    check_json(body)
    try:
        chat = _chat_decoder.decode(body)
        _ = chat.question
        if chat.replaces is not None and chat.continues is not None:
            raise InvalidRequest("a turn takes replaces or continues, not both")
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not what POST /chat takes: {error}") from None
    return chat


def conversation_id(text: str) -> str:
    """`text` if it is a valid conversation id. Raises `InvalidRequest`."""
    try:
        checked: str = msgspec.convert(text, ConversationId)
    except msgspec.ValidationError:
        raise InvalidRequest("conversation takes 1 to 64 letters, digits or any of . _ : @ -") from None
    return checked


def content_frame(number: int, text: str) -> bytes:
    """The frame of a turn's token number `number`, from 1. Its id is sent as Last-Event-ID to resume the stream."""
    return b'id: %d\ndata: {"content":%b}\n\n' % (number, one_line(_encode(text)))


def reasoning_frame(text: str) -> bytes:
    """The frame of a piece of reasoning, for clients that set `details`. It has no id."""
    return b'event: reasoning\ndata: {"content":%b}\n\n' % one_line(_encode(text))


def end_frame(finished: Finished) -> bytes:
    """The frame with a turn's finish reason and usage, before `[DONE]`, for clients that set `details`."""
    document = {"finish_reason": finished.reason, "usage": _usage(finished.usage), "model": finished.model}
    return b"event: end\ndata: %b\n\n" % one_line(_encode(document))


class TitleBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /conversations/{id}`."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]


_title_decoder = msgspec.json.Decoder(TitleBody)


def decode_title(body: bytes) -> str:
    """Decode the body of `PATCH /conversations/{id}`. Raises `InvalidRequest`."""
    try:
        return _title_decoder.decode(body).title
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f'the body takes {{"title": "..."}} of 1 to 200 characters: {error}') from None


def turn_id(text: str) -> str:
    """`text` if it has the form of a turn id. Raises `NotFound`."""
    if _TURN_ID.fullmatch(text) is None:
        raise NotFound("there is no such turn; a turn's id is in the X-Turn-Id response header")
    return text


def event_number(text: str) -> int:
    """The token number in a Last-Event-ID, 0 for the beginning. Raises `InvalidRequest`."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS):
        raise InvalidRequest("Last-Event-ID takes the number of an event of this turn, 0 for all")
    return int(text)


def complete_response(text: str, finished: Finished, *, conversation: str) -> Iterator[bytes]:
    """The response of `POST /chat` with `"stream": false`."""
    return json_pieces(
        {
            "content": text,
            "finish_reason": finished.reason,
            "usage": _usage(finished.usage),
            "model": finished.model,
            "conversation": conversation,
        }
    )


def history(turns: Iterable[Turn]) -> Iterator[bytes]:
    """The response of `GET /history`: messages, oldest first."""
    return json_pieces([document for turn in turns for document in _messages(turn)])


def page(query: Sequence[tuple[str, str]]) -> tuple[int, str | None]:
    """The parameters `limit` and `after` of a query for conversations. Raises `InvalidRequest`."""
    parameters = dict(query)
    if len(parameters) < len(query) or parameters.keys() - {"limit", "after"}:
        raise InvalidRequest("the query takes limit and after, each once, and nothing else")
    limit = parameters.get("limit", str(LISTED))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MAX_LISTED):
        raise InvalidRequest(f"limit takes an integer from 1 to {MAX_LISTED}", param="limit")
    return int(limit), conversation_id(parameters["after"]) if "after" in parameters else None


def conversation_list(conversations: Iterable[ConversationInfo]) -> Iterator[bytes]:
    """The response of `GET /conversations`."""
    return json_pieces(iter(conversations))


def _messages(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    question: dict[str, Any] = {"role": turn.question.role, "content": turn.question.content}
    answer: dict[str, Any] = {"role": turn.answer.role, "content": turn.answer.content}
    question |= {"turn": turn.id, "created": turn.asked_at}
    answer |= {"turn": turn.id, "created": turn.answered_at, "model": turn.model}
    if turn.status != "complete":
        answer["status"] = turn.status
    if turn.end_code:
        answer["end_code"] = turn.end_code
    if turn.answer.thought:
        answer["reasoning"] = turn.answer.thought
    if turn.thought_s is not None:
        answer["thought_s"] = turn.thought_s
    if turn.finish_reason is not None:
        answer["finish_reason"] = turn.finish_reason
    if turn.usage is not None:
        answer["usage"] = _usage(turn.usage)
    if turn.ttft_s is not None:
        answer["ttft_s"] = turn.ttft_s
    if turn.tokens_per_s is not None:
        answer["tokens_per_s"] = turn.tokens_per_s
    return question, answer


def _usage(usage: Usage | None) -> _Usage | None:
    if usage is None:
        return None
    return _Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
