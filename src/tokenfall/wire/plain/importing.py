"""The body of `POST /conversations`: a conversation as the chat page exports it. Pure."""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tokenfall.conversations import MAX_VARIANTS, Turn, TurnStatus, Variant
from tokenfall.errors import InvalidRequest
from tokenfall.events import EndReason, Usage
from tokenfall.messages import Message

MAX_MESSAGES = 1_000

_Time = Annotated[float, Meta(ge=0, le=1e11)]
_Figure = Annotated[float, Meta(ge=0, le=1e9)]
_Count = Annotated[int, Meta(ge=0, le=10**9)]
_Model = Annotated[str, Meta(max_length=200)]
_Code = Annotated[str, Meta(pattern=r"^[a-z_]{0,64}\Z")]


class _Usage(Struct, frozen=True):
    prompt_tokens: _Count
    completion_tokens: _Count


class _Variant(Struct, frozen=True):
    content: str
    created: _Time | None = None
    model: _Model = ""
    status: TurnStatus = "complete"
    end_code: _Code = ""
    finish_reason: EndReason | None = None


class _ImportedMessage(_Variant, frozen=True, kw_only=True):
    role: Literal["user", "assistant"]
    reasoning: str = ""
    thought_s: _Figure | None = None
    usage: _Usage | None = None
    ttft_s: _Figure | None = None
    tokens_per_s: _Figure | None = None
    variants: Annotated[list[_Variant], Meta(max_length=MAX_VARIANTS)] = []


class ImportBody(Struct, frozen=True):
    """The body. Fields that are not listed are accepted and ignored, such as ids, which are generated."""

    messages: Annotated[list[_ImportedMessage], Meta(min_length=2, max_length=MAX_MESSAGES)]
    title: Annotated[str, Meta(max_length=200)] = ""


_decoder = msgspec.json.Decoder(ImportBody)


def decode_import(body: bytes, *, now_s: float, new_id: Callable[[], str]) -> tuple[str, list[Turn]]:
    """The title, "" without one, and the turns. `now_s` is the time of messages without one.

    Raises `InvalidRequest`.
    """
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not an exported conversation: {error}") from None
    messages = document.messages
    for place, message in enumerate(messages):
        if message.role != ("assistant" if place % 2 else "user"):
            raise InvalidRequest(f"messages[{place}]: the roles must alternate between user and assistant, user first")
    if len(messages) % 2:
        raise InvalidRequest(f"messages[{len(messages) - 1}]: the last message must be of the assistant")
    for place, message in enumerate(messages[::2]):
        if not message.content.strip():
            raise InvalidRequest(f"messages[{2 * place}]: a user message must not be empty")
    pairs = zip(messages[::2], messages[1::2], strict=True)
    return document.title.strip(), [_turn(*pair, id=new_id(), now_s=now_s) for pair in pairs]


def _turn(question: _ImportedMessage, response: _ImportedMessage, *, id: str, now_s: float) -> Turn:  # noqa: A002 - its field
    usage = response.usage
    return Turn(
        id=id,
        question=Message("user", question.content),
        answer=Message("assistant", response.content, thought=response.reasoning),
        status=response.status,
        model=response.model,
        asked_at=_time(question, now_s),
        answered_at=_time(response, now_s),
        finish_reason=response.finish_reason,
        usage=None if usage is None else Usage(usage.prompt_tokens, usage.completion_tokens),
        ttft_s=response.ttft_s,
        tokens_per_s=response.tokens_per_s,
        end_code=response.end_code,
        thought_s=response.thought_s,
        variants=tuple(_variant(each, now_s) for each in response.variants),
    )


def _variant(variant: _Variant, now_s: float) -> Variant:
    return Variant(
        content=variant.content,
        status=variant.status,
        model=variant.model,
        answered_at=_time(variant, now_s),
        finish_reason=variant.finish_reason,
        end_code=variant.end_code,
    )


def _time(message: _Variant, now_s: float) -> float:
    return now_s if message.created is None else message.created
