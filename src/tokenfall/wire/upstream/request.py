"""Encodes a request for an OpenAI-compatible upstream. Pure.

Source: the OpenAI API reference, "Create chat completion".
"""

from typing import Any

import msgspec

from tokenfall.messages import ChatRequest, Tool
from tokenfall.wire.dialect import UNBOUNDED
from tokenfall.wire.tool_names import upstream_name
from tokenfall.wire.upstream.messages import encoded_messages
from tokenfall.wire.upstream.rewrites import LOGPROBS, REASONING_EFFORT, STREAM_OPTIONS, STRICT, max_tokens_name
from tokenfall.wire.upstream.strict_schema import fits_strict, with_properties

MAX_STOPS = 4
"""Stop texts that an upstream accepts; if there are more, `tokenfall.wire.event_normalizer` applies them all."""


def encode_request(request: ChatRequest) -> bytes:
    """The body of a streaming chat completion request with `include_usage`, unless the upstream refuses that."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": encoded_messages(request),
        "stream": True,
    }
    optional = {
        "stream_options": None if STREAM_OPTIONS in request.rewrites else {"include_usage": True},
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
    if REASONING_EFFORT in request.rewrites:
        return None
    return request.effort or ("medium" if request.reasoning else None)


def _logprobs(request: ChatRequest) -> dict[str, Any]:
    if request.logprobs is None or LOGPROBS in request.rewrites:
        return {}
    return {"logprobs": True, "top_logprobs": request.logprobs or None}


def _response_format(request: ChatRequest) -> dict[str, Any] | None:
    if request.schema is not None:
        named: dict[str, Any] = {"name": request.schema_name or "answer", "schema": msgspec.Raw(request.schema)}
        if STRICT not in request.rewrites and fits_strict(request.schema):
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
    parameters = msgspec.Raw(with_properties(tool.parameters or b'{"type":"object"}'))
    description = {"description": tool.description} if tool.description else {}
    strict = {"strict": True} if tool.strict and fits_strict(tool.parameters) else {}
    return {"name": upstream_name(tool.name), **description, "parameters": parameters, **strict}
