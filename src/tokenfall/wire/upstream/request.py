"""A request as an OpenAI-compatible upstream takes it. Pure.

Source: the OpenAI API reference, "Create chat completion".
"""

from typing import Any

import msgspec

from tokenfall.messages import ChatRequest, Message, Tool
from tokenfall.wire.dialect import UNBOUNDED


def encode_request(request: ChatRequest) -> bytes:
    """The body of a streaming chat completion that asks for usage too."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.max_tokens < UNBOUNDED:
        body["max_tokens"] = request.max_tokens
    optional = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": request.stop or None,
        "response_format": _response_format(request),
        "reasoning_effort": "medium" if request.reasoning else None,
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    if request.tools:
        body |= _tools(request)
    return msgspec.json.encode(body)


def _message(message: Message) -> Message | dict[str, Any]:
    if not (message.tool_calls or message.tool_call_id or message.images):
        return message
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        images = [{"type": "image_url", "image_url": {"url": url}} for url in message.images]
        told["content"] = [{"type": "text", "text": message.content}, *images] if message.content else images
    if message.tool_calls:
        told["content"] = message.content or None
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        told["tool_call_id"] = message.tool_call_id
    return told


def _response_format(request: ChatRequest) -> dict[str, Any] | None:
    if request.schema is not None:
        named = {"name": request.schema_name or "answer", "schema": msgspec.Raw(request.schema), "strict": True}
        return {"type": "json_schema", "json_schema": named}
    return {"type": "json_object"} if request.json_object else None


def _tools(request: ChatRequest) -> dict[str, Any]:
    choice: Any = request.tool_choice
    if choice not in ("auto", "none", "required"):
        choice = {"type": "function", "function": {"name": choice}}
    told: dict[str, Any] = {"tools": [{"type": "function", "function": _function(tool)} for tool in request.tools]}
    told["tool_choice"] = choice
    if not request.parallel_tool_calls:
        told["parallel_tool_calls"] = False
    return told


def _function(tool: Tool) -> dict[str, Any]:
    parameters = msgspec.Raw(tool.parameters or b'{"type":"object"}')
    return {"name": tool.name, "description": tool.description, "parameters": parameters}
