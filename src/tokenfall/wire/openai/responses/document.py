"""The response object, complete or in progress, and its output items. Pure.

Source: the OpenAI API reference, "The response object". Reasoning is reported as a summary whenever it was requested.
"""

from base64 import b64encode
from typing import Any, Literal

from msgspec import Struct

from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.tokens import count_tokens
from tokenfall.wire.dialect import ResponseMeta
from tokenfall.wire.openai.responses.request import ResponsesOptions

Status = Literal["in_progress", "completed", "incomplete"]

_INCOMPLETE: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


class OutputItem(Struct, frozen=True, kw_only=True):
    """An output item: a message, a reasoning summary or a tool call. `text` is its complete text or arguments."""

    kind: Literal["text", "thought", "call"]
    id: str
    text: str
    call: ToolCall | None = None
    encrypted: bool = False
    """For reasoning: add `encrypted_content`."""


def _encrypted(item: OutputItem) -> str:
    """Opaque data that clients send back; it is ignored then."""
    return b64encode(f"tokenfall {item.id} {item.text}".encode()).decode()


def item_id(kind: str, number: str, *, index: int, call: ToolCall | None = None) -> str:
    """The id of output item `index` in the response with this `number`.

    For a call whose own id was generated from the response number, the item id contains the call id, so that an
    `item_reference` to it identifies the call.
    """
    prefix = {"text": "msg", "thought": "rs"}.get(kind, "ctc" if call is not None and call.custom else "fc")
    if call is not None and call.id.startswith(f"call_{number}"):
        return prefix + call.id.removeprefix("call")
    return f"{prefix}_{number}{index}"


def status_of(reason: FinishReason) -> Status:
    """The status of a response or item with this finish reason."""
    return "incomplete" if reason in _INCOMPLETE else "completed"


def text_part(text: str) -> dict[str, Any]:
    """The content part of a message."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def summary_part(text: str) -> dict[str, Any]:
    """The summary part of a reasoning item."""
    return {"type": "summary_text", "text": text}


def item_document(item: OutputItem, status: Status) -> dict[str, Any]:
    """An output item; empty if it is in progress."""
    in_progress = status == "in_progress"
    if item.kind == "thought":
        summary = [] if in_progress else [summary_part(item.text)]
        encrypted = {"encrypted_content": _encrypted(item)} if item.encrypted else {}
        return {"id": item.id, "type": "reasoning", "status": status, "summary": summary, **encrypted}
    if item.call is not None:
        named = {"call_id": item.call.id, "name": item.call.name}
        if item.call.custom:
            return {"id": item.id, "type": "custom_tool_call", "status": status, "input": item.text, **named}
        return {"id": item.id, "type": "function_call", "status": status, "arguments": item.text, **named}
    content = [] if in_progress else [text_part(item.text)]
    return {"id": item.id, "type": "message", "status": status, "content": content, "role": "assistant"}


def response_document(
    options: ResponsesOptions,
    meta: ResponseMeta,
    *,
    items: list[OutputItem],
    reason: FinishReason | None = None,
    usage: Usage | None = None,
    total_s: float = 0.0,
) -> dict[str, Any]:
    """A response; without a `reason` it is in progress. The last item has the status of the response."""
    status: Status = "in_progress" if reason is None else status_of(reason)
    why = None if reason is None else _INCOMPLETE.get(reason)
    output = [item_document(item, "completed") for item in items[:-1]]
    output += [item_document(item, status) for item in items[-1:]]
    return {
        "id": f"resp_{meta.number}",
        "object": "response",
        "created_at": int(meta.created_s),
        "status": status,
        "background": False,
        "completed_at": int(meta.created_s + total_s) if status == "completed" else None,
        "error": None,
        "incomplete_details": why and {"reason": why},
        "instructions": options.instructions,
        "max_output_tokens": options.max_output_tokens,
        "max_tool_calls": options.max_tool_calls,
        "model": meta.model,
        "output": output,
        "parallel_tool_calls": options.parallel_tool_calls,
        "previous_response_id": None,
        "reasoning": options.reasoning,
        "service_tier": "default",
        "store": options.store,
        "temperature": options.temperature,
        "text": options.text,
        "tool_choice": options.tool_choice,
        "tools": options.tools,
        "top_logprobs": options.top_logprobs,
        "top_p": options.top_p,
        "truncation": options.truncation,
        "usage": usage and _usage(usage, items),
        "user": None,
        "metadata": options.metadata,
    }


def _usage(usage: Usage, items: list[OutputItem]) -> dict[str, Any]:
    # Reasoning tokens are counted from the reasoning text, as the simulator counts tokens.
    reasoning_tokens = sum(count_tokens(item.text) for item in items if item.kind == "thought")
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cache_write_tokens": usage.cache_write_tokens,
            "cached_tokens": usage.cached_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": min(reasoning_tokens, usage.completion_tokens)},
        "total_tokens": usage.total_tokens,
    }
