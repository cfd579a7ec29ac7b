"""The response object, whole or under way, and the items of its output. Pure.

Source: the OpenAI API reference, "The response object". Wherever thoughts were asked for, they are told as a summary.
"""

from base64 import b64encode
from typing import Any, Literal

from msgspec import Struct

from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.tokens import count_tokens
from tokenfall.wire.dialect import ResponseMeta
from tokenfall.wire.openai.responses.request import Shape

Status = Literal["in_progress", "completed", "incomplete"]

_INCOMPLETE: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Item(Struct, frozen=True, kw_only=True):
    """An item of an output: a message, a summary of thoughts or a call. `text` is all that it says."""

    kind: Literal["text", "thought", "call"]
    id: str
    text: str
    call: ToolCall | None = None
    encrypted: bool = False
    """Of thoughts: the caller wants them back in a form that only a provider reads, too."""


def _encrypted(item: Item) -> str:
    """Opaque to callers, who send it back, and not read then."""
    return b64encode(f"tokenfall {item.id} {item.text}".encode()).decode()


def item_id(kind: str, number: str, *, index: int, call: ToolCall | None = None) -> str:
    """The id of the output's item `index`, within the answer of this `number`.

    That of a call that was named after the answer names the call: who refers to the item refers to the call.
    """
    prefix = {"text": "msg", "thought": "rs"}.get(kind, "ctc" if call is not None and call.custom else "fc")
    if call is not None and call.id.startswith(f"call_{number}"):
        return prefix + call.id.removeprefix("call")
    return f"{prefix}_{number}{index}"


def status_of(reason: FinishReason) -> Status:
    """How an answer that ended so has ended."""
    return "incomplete" if reason in _INCOMPLETE else "completed"


def text_part(text: str) -> dict[str, Any]:
    """The one part of a message."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def summary_part(text: str) -> dict[str, Any]:
    """The one part of a summary."""
    return {"type": "summary_text", "text": text}


def item_document(item: Item, status: Status) -> dict[str, Any]:
    """An item; one in progress is empty."""
    begun = status == "in_progress"
    if item.kind == "thought":
        summary = [] if begun else [summary_part(item.text)]
        encrypted = {"encrypted_content": _encrypted(item)} if item.encrypted else {}
        return {"id": item.id, "type": "reasoning", "status": status, "summary": summary, **encrypted}
    if item.call is not None:
        named = {"call_id": item.call.id, "name": item.call.name}
        if item.call.custom:
            return {"id": item.id, "type": "custom_tool_call", "status": status, "input": item.text, **named}
        return {"id": item.id, "type": "function_call", "status": status, "arguments": item.text, **named}
    content = [] if begun else [text_part(item.text)]
    return {"id": item.id, "type": "message", "status": status, "content": content, "role": "assistant"}


def response_document(
    shape: Shape,
    meta: ResponseMeta,
    *,
    items: list[Item],
    reason: FinishReason | None = None,
    usage: Usage | None = None,
    total_s: float = 0.0,
) -> dict[str, Any]:
    """A response; without a `reason` it is in progress. Of the items, the last is as incomplete as the whole."""
    status: Status = "in_progress" if reason is None else status_of(reason)
    why = None if reason is None else _INCOMPLETE.get(reason)
    told = [item_document(item, "completed") for item in items[:-1]]
    told += [item_document(item, status) for item in items[-1:]]
    return {
        "id": f"resp_{meta.number}",
        "object": "response",
        "created_at": int(meta.created_s),
        "status": status,
        "background": False,
        "completed_at": int(meta.created_s + total_s) if status == "completed" else None,
        "error": None,
        "incomplete_details": why and {"reason": why},
        "instructions": shape.instructions,
        "max_output_tokens": shape.max_output_tokens,
        "max_tool_calls": shape.max_tool_calls,
        "model": meta.model,
        "output": told,
        "parallel_tool_calls": shape.parallel_tool_calls,
        "previous_response_id": None,
        "reasoning": shape.reasoning,
        "service_tier": "default",
        "store": shape.store,
        "temperature": shape.temperature,
        "text": shape.text,
        "tool_choice": shape.tool_choice,
        "tools": shape.tools,
        "top_logprobs": shape.top_logprobs,
        "top_p": shape.top_p,
        "truncation": shape.truncation,
        "usage": usage and _usage(usage, items),
        "user": None,
        "metadata": shape.metadata,
    }


def _usage(usage: Usage, items: list[Item]) -> dict[str, Any]:
    # Nobody tells apart what thoughts cost: their words are counted, as the simulator counts tokens.
    thoughts = sum(count_tokens(item.text) for item in items if item.kind == "thought")
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cache_write_tokens": usage.cache_write_tokens,
            "cached_tokens": usage.cached_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": min(thoughts, usage.completion_tokens)},
        "total_tokens": usage.total_tokens,
    }
