"""The documents of responses of `POST /v1/chat/completions`. Pure.

Source: the OpenAI API reference, "The chat completion object".
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire.dialect import Count, ResponseMeta, ResponseTiming
from tokenfall.wire.openai.logprobs import ChatLogprobs

FINGERPRINT = "fp_tokenfall"
_encode = msgspec.json.encode

ChatFinishReason = Literal[FinishReason, "function_call"]


class CompletionUsage(Struct, frozen=True, kw_only=True):
    """The token counts of a response. The durations, in seconds, are Groq's."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    queue_time: float | UnsetType = UNSET
    prompt_time: float | UnsetType = UNSET
    completion_time: float | UnsetType = UNSET
    total_time: float | UnsetType = UNSET
    prompt_tokens_details: dict[str, Count] | UnsetType = UNSET
    completion_tokens_details: dict[str, Count] | UnsetType = UNSET


class FunctionCall(Struct, frozen=True):
    name: str
    arguments: str


class OutputToolCall(Struct, frozen=True, kw_only=True):
    id: str
    type: str


class OutputFunctionCall(OutputToolCall, frozen=True, kw_only=True):
    type: Literal["function"] = "function"
    function: FunctionCall


class OutputCustomCall(OutputToolCall, frozen=True, kw_only=True):
    """A call of a custom tool. `custom` has its `name` and its `input`."""

    type: Literal["custom"] = "custom"
    custom: dict[str, str]


class CompletionMessage(Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[OutputToolCall] | UnsetType = UNSET
    function_call: FunctionCall | UnsetType = UNSET
    """The call of a response to a request with `functions`, in place of `tool_calls`."""


class ChatChoice(Struct, frozen=True, kw_only=True):
    index: Count
    message: CompletionMessage
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """A complete response. `usage_breakdown` and `x_groq` are Groq's."""

    id: Annotated[str, Meta(pattern="^chatcmpl-")]
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str = FINGERPRINT
    choices: list[ChatChoice]
    usage: CompletionUsage | None
    usage_breakdown: UnsetType | None = UNSET
    x_groq: dict[str, str] | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET


def first_members(meta: ResponseMeta, prefix: str, *, kind: str) -> dict[str, Any]:
    """The members that every document of a response begins with, also in a stream."""
    return {
        "id": f"{prefix}-{meta.number}",
        "object": kind,
        "created": int(meta.created_s),
        "model": meta.model,
        "system_fingerprint": FINGERPRINT,
    }


def encoded_head(meta: ResponseMeta, prefix: str, *, kind: str) -> bytes:
    """`first_members` as the beginning of a JSON object, to which other members are appended."""
    return _encode(first_members(meta, prefix, kind=kind))[:-1] + b","


def usage_document(usage: Usage, timing: ResponseTiming | None = None) -> CompletionUsage:
    """The `usage` object; with `timing`, Groq's durations are added."""
    durations: dict[str, float] = {}
    if timing is not None:
        durations = {
            "queue_time": 0.0,
            "prompt_time": timing.first_token_s,
            "completion_time": timing.total_s - timing.first_token_s,
            "total_time": timing.total_s,
        }
    return CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        **durations,
        prompt_tokens_details={"cached_tokens": usage.cached_tokens} if usage.cached_tokens else UNSET,
        completion_tokens_details={"reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else UNSET,
    )


def call_document(call: ToolCall) -> OutputToolCall:
    """A complete tool call."""
    if call.custom:
        return OutputCustomCall(id=call.id, custom={"name": call.name, "input": call.arguments})
    return OutputFunctionCall(id=call.id, function=function_document(call))


def function_document(call: ToolCall) -> FunctionCall:
    """A call without its id."""
    return FunctionCall(call.name, call.arguments)


def reason_name(reason: FinishReason, *, legacy_functions: bool) -> ChatFinishReason:
    """The reason of a response; `legacy_functions` as in `ChatOptions`."""
    return "function_call" if legacy_functions and reason == "tool_calls" else reason
