"""The response object, complete or in progress, and its output items. Pure.

Source: the OpenAI API reference, "The response object". Reasoning is reported as a summary whenever it was requested.
"""

from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.tokens import count_tokens
from tokenfall.wire.dialect import BlockKind, Count, ResponseMeta
from tokenfall.wire.openai.logprobs import TokenLogprob
from tokenfall.wire.openai.responses.body import Reasoning
from tokenfall.wire.openai.responses.options import ResponsesOptions

Status = Literal["in_progress", "completed", "incomplete"]

IncompleteReason = Literal["max_output_tokens", "content_filter"]
_INCOMPLETE: dict[FinishReason, IncompleteReason] = {"length": "max_output_tokens", "content_filter": "content_filter"}


class OutputItem(Struct, frozen=True, kw_only=True):
    """An output item: a message, a reasoning summary or a tool call. `text` is its complete text or arguments."""

    kind: BlockKind
    id: str
    text: str
    call: ToolCall | None = None
    encrypted: bool = False
    """For reasoning: add `encrypted_content`."""
    logprobs: Sequence[TokenLogprob] = ()
    """For a text: its log probabilities; an iterator in place of a list, for `json_pieces`."""


def _encrypted(item: OutputItem) -> str:
    """Opaque data that clients send back; it is ignored then."""
    return b64encode(f"tokenfall {item.id} {item.text}".encode()).decode()


def status_of(reason: FinishReason) -> Status:
    """The status of a response or item with this finish reason."""
    return "incomplete" if reason in _INCOMPLETE else "completed"


class OutputText(Struct, frozen=True, kw_only=True):
    type: Literal["output_text"] = "output_text"
    annotations: list[Any] = []
    logprobs: Sequence[TokenLogprob] = ()
    text: str


class SummaryText(Struct, frozen=True, kw_only=True):
    type: Literal["summary_text"] = "summary_text"
    text: str


class ResponseItem(Struct, frozen=True, kw_only=True):
    """An output item, empty if it is in progress."""

    id: str
    type: str
    status: Status


class ResponseMessage(ResponseItem, frozen=True, kw_only=True):
    type: Literal["message"] = "message"
    content: list[OutputText]
    role: Literal["assistant"] = "assistant"


class ResponseReasoning(ResponseItem, frozen=True, kw_only=True):
    type: Literal["reasoning"] = "reasoning"
    summary: list[SummaryText]
    encrypted_content: str | UnsetType = UNSET


class ResponseFunctionCall(ResponseItem, frozen=True, kw_only=True):
    type: Literal["function_call"] = "function_call"
    arguments: str
    call_id: str
    name: str


class ResponseCustomCall(ResponseItem, frozen=True, kw_only=True):
    type: Literal["custom_tool_call"] = "custom_tool_call"
    input: str
    call_id: str
    name: str


class InputDetails(Struct, frozen=True, kw_only=True):
    cache_write_tokens: Count
    cached_tokens: Count


class ResponseUsage(Struct, frozen=True, kw_only=True):
    input_tokens: Count
    input_tokens_details: InputDetails
    output_tokens: Count
    output_tokens_details: dict[str, Count]
    total_tokens: Count


class IncompleteDetails(Struct, frozen=True):
    reason: IncompleteReason


class ResponsesResponse(Struct, frozen=True, kw_only=True):
    """A response, complete or in progress."""

    id: Annotated[str, Meta(pattern="^resp_")]
    object: Literal["response"] = "response"
    created_at: int
    status: Status
    background: Literal[False] = False
    completed_at: int | None
    error: None = None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    output: list[ResponseItem]
    parallel_tool_calls: bool
    previous_response_id: None = None
    reasoning: Reasoning
    safety_identifier: str | None
    service_tier: str
    prompt_cache_key: str | None
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[Any]
    top_logprobs: int
    top_p: float
    truncation: str
    usage: ResponseUsage | None
    user: str | None
    metadata: dict[str, str]


def item_document(item: OutputItem, status: Status) -> ResponseItem:
    """An output item; empty if it is in progress."""
    in_progress = status == "in_progress"
    if item.kind == "thought":
        summary = [] if in_progress else [SummaryText(text=item.text)]
        encrypted = _encrypted(item) if item.encrypted else UNSET
        return ResponseReasoning(id=item.id, status=status, summary=summary, encrypted_content=encrypted)
    call = item.call
    if call is None:
        return ResponseMessage(
            id=item.id,
            status=status,
            content=[] if in_progress else [OutputText(text=item.text, logprobs=item.logprobs)],
        )
    if call.custom:
        return ResponseCustomCall(id=item.id, status=status, input=item.text, call_id=call.id, name=call.name)
    return ResponseFunctionCall(id=item.id, status=status, arguments=item.text, call_id=call.id, name=call.name)


def response_document(
    options: ResponsesOptions,
    meta: ResponseMeta,
    *,
    items: list[OutputItem],
    reason: FinishReason | None = None,
    usage: Usage | None = None,
    total_s: float = 0.0,
) -> ResponsesResponse:
    """A response; without a `reason` it is in progress. The last item has the status of the response."""
    status: Status = "in_progress" if reason is None else status_of(reason)
    why = None if reason is None else _INCOMPLETE.get(reason)
    output = [item_document(item, "completed") for item in items[:-1]]
    output += [item_document(item, status) for item in items[-1:]]
    return ResponsesResponse(
        id=f"resp_{meta.number}",
        created_at=int(meta.created_s),
        status=status,
        completed_at=int(meta.created_s + total_s) if status == "completed" else None,
        incomplete_details=why and IncompleteDetails(why),
        model=meta.model,
        output=output,
        usage=None if usage is None else _usage(usage, items),
        **options.repeated,
    )


def _usage(usage: Usage, items: list[OutputItem]) -> ResponseUsage:
    # Reasoning tokens are counted from the reasoning text, as the simulator counts tokens.
    reasoning_tokens = sum(count_tokens(item.text) for item in items if item.kind == "thought")
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputDetails(
            cache_write_tokens=usage.cache_write_tokens, cached_tokens=usage.cached_tokens
        ),
        output_tokens=usage.completion_tokens,
        output_tokens_details={"reasoning_tokens": min(reasoning_tokens, usage.completion_tokens)},
        total_tokens=usage.total_tokens,
    )
