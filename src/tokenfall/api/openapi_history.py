"""Response bodies of stored conversations, as Structs; see `tokenfall.api.openapi_answers`."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from tokenfall.events import FinishReason

Count = Annotated[int, Meta(ge=0)]


class TokenUsage(Struct):
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count


class NewConversation(Struct):
    id: str


class HistoryVariant(Struct):
    content: str
    created: float
    model: str
    status: Literal["interrupted"] | UnsetType = UNSET
    end_code: str | UnsetType = UNSET
    finish_reason: FinishReason | UnsetType = UNSET


class HistoryMessage(Struct):
    role: Literal["user", "assistant"]
    content: str
    turn: Annotated[str, Meta(pattern="^turn_[0-9a-f]{24}$")]
    created: float
    model: str | UnsetType = UNSET
    status: Literal["interrupted"] | UnsetType = UNSET
    end_code: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    thought_s: float | UnsetType = UNSET
    finish_reason: FinishReason | UnsetType = UNSET
    usage: TokenUsage | UnsetType = UNSET
    variants: list[HistoryVariant] | UnsetType = UNSET
