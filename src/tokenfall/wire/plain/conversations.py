"""Encodes conversations, and decodes requests for them: `/history` and `/conversations`. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tokenfall.conversations import DEFAULT_PAGE_SIZE, ConversationInfo, Turn, Variant
from tokenfall.errors import InvalidRequest
from tokenfall.events import EndReason, Usage
from tokenfall.wire.dialect import Count
from tokenfall.wire.json_pieces import json_pieces

_encode = msgspec.json.encode

ConversationId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:@-]{1,64}\Z")]
"""1 to 64 letters, digits or `._:@-`."""

TurnId = Annotated[str, Meta(pattern=r"^turn_[0-9a-f]{24}\Z")]
"""The id of a turn, as in `X-Turn-Id` and the history."""

DEFAULT_CONVERSATION = "default"

MAX_LISTED = 1_000
"""Largest `limit` of `GET /conversations`."""

MAX_SEARCH_CHARACTERS = 200
MAX_SEARCH_WORDS = 16
"""Limits of the `search` of `GET /conversations`."""

T = TypeVar("T")


class TokenUsage(Struct, frozen=True):
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count


class NewConversation(Struct, frozen=True):
    id: str


class HistoryVariant(Struct, frozen=True, kw_only=True):
    content: str
    created: float
    model: str
    status: Literal["interrupted"] | UnsetType = UNSET
    end_code: str | UnsetType = UNSET
    finish_reason: EndReason | UnsetType = UNSET


class HistoryMessage(Struct, frozen=True, kw_only=True):
    """A message of a conversation. Only responses have a `model` and the fields after it."""

    role: Literal["user", "assistant"]
    content: str
    turn: TurnId
    created: float
    model: str | UnsetType = UNSET
    status: Literal["interrupted"] | UnsetType = UNSET
    end_code: str | UnsetType = UNSET
    finish_reason: EndReason | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    thought_s: float | UnsetType = UNSET
    usage: TokenUsage | UnsetType = UNSET
    ttft_s: float | UnsetType = UNSET
    tokens_per_s: float | UnsetType = UNSET
    variants: list[HistoryVariant] | UnsetType = UNSET


def conversation_id(text: str) -> str:
    """`text` if it is a valid conversation id. Raises `InvalidRequest`."""
    try:
        checked: str = msgspec.convert(text, ConversationId)
    except msgspec.ValidationError:
        raise InvalidRequest("conversation takes 1 to 64 letters, digits or any of . _ : @ -") from None
    return checked


class ConversationBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /conversations/{id}`: at least one of its fields."""

    title: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET


_CHANGES = "title, a string of 1 to 200 characters, or pinned, a boolean, or both"

_conversation_decoder = msgspec.json.Decoder(ConversationBody)


def decode_conversation(body: bytes) -> ConversationBody:
    """Decode the body of `PATCH /conversations/{id}`. Raises `InvalidRequest`."""
    try:
        change = _conversation_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body takes {_CHANGES}: {error}") from None
    if change == ConversationBody():
        raise InvalidRequest(f"the body takes {_CHANGES}")
    return change


def history_query(query: Sequence[tuple[str, str]]) -> tuple[str, bool]:
    """The conversation of `GET /history`, and whether variants are requested. Raises `InvalidRequest`."""
    parameters = dict(query)
    if (
        len(parameters) < len(query)
        or parameters.keys() - {"conversation", "variants"}
        or parameters.get("variants", "true") not in {"true", "false"}
    ):
        raise InvalidRequest(
            "the query takes only conversation and variants, each at most once; variants is true or false"
        )
    name = conversation_id(parameters["conversation"]) if "conversation" in parameters else DEFAULT_CONVERSATION
    return name, parameters.get("variants") == "true"


def history(turns: Iterable[Turn], *, variants: bool = False) -> Iterator[bytes]:
    """The response of `GET /history`: messages, oldest first; with earlier responses if `variants`."""
    return json_pieces([message for turn in turns for message in _messages(turn, variants=variants)])


class ListQuery(Struct, frozen=True):
    """A page of a list of conversations. `search` are the words of a search, empty without one."""

    limit: int
    after: str | None
    search: tuple[str, ...]


def page(query: Sequence[tuple[str, str]]) -> ListQuery:
    """The parameters `limit`, `after` and `search` of a query for conversations. Raises `InvalidRequest`."""
    parameters = dict(query)
    if len(parameters) < len(query) or parameters.keys() - {"limit", "after", "search"}:
        raise InvalidRequest("the query takes only limit, after and search, each at most once")
    limit = parameters.get("limit", str(DEFAULT_PAGE_SIZE))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MAX_LISTED):
        raise InvalidRequest(f"limit takes an integer from 1 to {MAX_LISTED}", param="limit")
    after = conversation_id(parameters["after"]) if "after" in parameters else None
    return ListQuery(int(limit), after, _search_words(parameters["search"]) if "search" in parameters else ())


def next_page(query: ListQuery, *, last: str) -> str:
    """The Link header of the page that follows the conversation `last`; RFC 8288.

    The address is relative, because a proxy may serve the path below another one.
    """
    search = f"&search={'+'.join(map(_quoted, query.search))}" if query.search else ""
    return f'<conversations?limit={query.limit}&after={last}{search}>; rel="next"'


def _quoted(text: str) -> str:
    """`text` with percent-encoding; RFC 3986, section 2.1."""
    return "".join(
        chr(byte) if byte < 128 and chr(byte).isalnum() else f"%{byte:02X}" for byte in text.encode(errors="replace")
    )


def _search_words(text: str) -> tuple[str, ...]:
    words = tuple(text.split())
    if len(text) > MAX_SEARCH_CHARACTERS or not 1 <= len(words) <= MAX_SEARCH_WORDS:
        raise InvalidRequest(
            f"search takes 1 to {MAX_SEARCH_WORDS} words of {MAX_SEARCH_CHARACTERS} characters in all", param="search"
        )
    return words


def conversation_list(conversations: Iterable[ConversationInfo]) -> Iterator[bytes]:
    """The response of `GET /conversations`."""
    return json_pieces(iter(conversations))


def new_conversation(name: str) -> bytes:
    """The response of `POST /conversations`."""
    return _encode(NewConversation(name))


def _messages(turn: Turn, *, variants: bool) -> tuple[HistoryMessage, HistoryMessage]:
    question = HistoryMessage(role="user", content=turn.question.content, turn=turn.id, created=turn.asked_at)
    response = HistoryMessage(
        role="assistant",
        content=turn.answer.content,
        turn=turn.id,
        created=turn.answered_at,
        model=turn.model,
        **_end(turn),
        reasoning=turn.answer.thought or UNSET,
        thought_s=_given(turn.thought_s),
        usage=_given(token_usage(turn.usage)),
        ttft_s=_given(turn.ttft_s),
        tokens_per_s=_given(turn.tokens_per_s),
        variants=[_variant(each) for each in turn.variants] if variants and turn.variants else UNSET,
    )
    return question, response


def _variant(variant: Variant) -> HistoryVariant:
    return HistoryVariant(content=variant.content, created=variant.answered_at, model=variant.model, **_end(variant))


def _end(response: Turn | Variant) -> dict[str, Any]:
    """How a response ended, as members of a message."""
    return {
        "status": UNSET if response.status == "complete" else response.status,
        "end_code": response.end_code or UNSET,
        "finish_reason": _given(response.finish_reason),
    }


def _given(value: T | None) -> T | UnsetType:
    """`value`, UNSET for None."""
    return UNSET if value is None else value


def token_usage(usage: Usage | None) -> TokenUsage | None:
    """The token counts as in responses, None if they are unknown."""
    if usage is None:
        return None
    return TokenUsage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
