"""Encodes a request for an OpenAI-compatible upstream. Pure.

Source: the OpenAI API reference, "Create chat completion"; `reasoning_content` in assistant messages, as DeepSeek and
Moonshot require it.
"""

from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec.structs import replace

from tokenfall.messages import ChatRequest, Message, Tool, ToolCall
from tokenfall.wire.dialect import UNBOUNDED
from tokenfall.wire.tool_names import extra_of, upstream_id, upstream_name
from tokenfall.wire.upstream.rewrites import (
    CALL_IDS,
    LOGPROBS,
    REASONING_CONTENT,
    REASONING_EFFORT,
    STREAM_OPTIONS,
    max_tokens_name,
)
from tokenfall.wire.upstream.strict_schema import fits_strict

MAX_STOPS = 4
"""Stop texts that an upstream accepts; if there are more, `tokenfall.wire.event_normalizer` applies them all."""

_SHORT_ID = 9
IMAGE_NOTE = "The result is an image, in the user message that follows."


def encode_request(request: ChatRequest) -> bytes:
    """The body of a streaming chat completion request with `include_usage`, unless the upstream refuses that."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": list(_messages(request)),
        "stream": True,
    }
    optional = {
        "stream_options": None if STREAM_OPTIONS in request.refused else {"include_usage": True},
        max_tokens_name(request): request.max_tokens if request.max_tokens < UNBOUNDED else None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": request.stop[:MAX_STOPS] or None,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "response_format": _response_format(request),
        "reasoning_effort": _effort(request),
        **_logprobs(request),
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    if request.tools:
        body |= _tools(request)
    return msgspec.json.encode(body)


def _effort(request: ChatRequest) -> str | None:
    if REASONING_EFFORT in request.refused:
        return None
    return request.effort or ("medium" if request.reasoning else None)


def _logprobs(request: ChatRequest) -> dict[str, Any]:
    if request.logprobs is None or LOGPROBS in request.refused:
        return {}
    return {"logprobs": True, "top_logprobs": request.logprobs or None}


def _messages(request: ChatRequest) -> Iterator[Message | dict[str, Any]]:
    """All messages. Images in tool results are moved to a user message after them: tool messages accept only text."""
    images: list[str] = []
    for message in request.messages:
        if images and message.role != "tool":
            yield {"role": "user", "content": _parts("", images)}
            images = []
        if message.role == "tool" and message.images:
            images += message.images
            yield _message(replace(message, content=message.content or IMAGE_NOTE, images=()), request.refused)
        else:
            yield _message(message, request.refused)
    if images:
        yield {"role": "user", "content": _parts("", images)}


def _message(message: Message, refused: Collection[str]) -> Message | dict[str, Any]:
    if not (message.tool_calls or message.tool_call_id or message.images or message.thought):
        return message
    id_of = _short_id if CALL_IDS in refused else upstream_id
    document: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        document["content"] = _parts(message.content, message.images)
    if message.thought and REASONING_CONTENT not in refused:
        document["reasoning_content"] = message.thought
    if message.tool_calls:
        document["content"] = document["content"] or None
        document["tool_calls"] = [_call(call, id_of(call.id)) for call in message.tool_calls]
    if message.tool_call_id:
        document["tool_call_id"] = id_of(message.tool_call_id)
    return document


def _short_id(call_id: str) -> str:
    """The id if it has nine letters and digits, else nine digits of its hash."""
    original = upstream_id(call_id)
    if len(original) == _SHORT_ID and original.isascii() and original.isalnum():
        return original
    return sha256(original.encode()).hexdigest()[:_SHORT_ID]


def _parts(text: str, images: Sequence[str]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    return parts + [{"type": "image_url", "image_url": {"url": url}} for url in images]


def _call(call: ToolCall, call_id: str) -> dict[str, Any]:
    function = {"name": upstream_name(call.name), "arguments": call.arguments}
    document = {"id": call_id, "type": "function", "function": function}
    extra = extra_of(call.id)
    return document if extra is None else {**document, "extra_content": extra}


def _response_format(request: ChatRequest) -> dict[str, Any] | None:
    if request.schema is not None:
        named: dict[str, Any] = {"name": request.schema_name or "answer", "schema": msgspec.Raw(request.schema)}
        if fits_strict(request.schema):
            named["strict"] = True
        return {"type": "json_schema", "json_schema": named}
    return {"type": "json_object"} if request.json_object else None


def _tools(request: ChatRequest) -> dict[str, Any]:
    choice: Any = request.tool_choice
    if choice not in ("auto", "none", "required"):
        choice = {"type": "function", "function": {"name": upstream_name(choice)}}
    members: dict[str, Any] = {"tools": [{"type": "function", "function": _function(tool)} for tool in request.tools]}
    members["tool_choice"] = choice
    if not request.parallel_tool_calls:
        members["parallel_tool_calls"] = False
    return members


def _function(tool: Tool) -> dict[str, Any]:
    parameters = msgspec.Raw(tool.parameters or b'{"type":"object"}')
    return {"name": upstream_name(tool.name), "description": tool.description, "parameters": parameters}
