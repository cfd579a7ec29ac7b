"""The body of `POST /v1/responses`: the members that are decoded, with their types and limits. Pure.

Source: the OpenAI API reference, "Create a model response". Decoded by `request`, published by the OpenAPI document.
Must not depend on what a member means.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from tokenfall.wire.dialect import MAX_ITEMS, Fraction, ModelName, NullableSchema, no_schema

_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}\Z")]
_Repeated = Annotated[str, Meta(max_length=512)]
"""A text that the response repeats in several events."""

_Metadata = dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]]


class _Reference(Struct):
    id: str


class _Tool(Struct):
    """`format` is decoded for a custom tool only."""

    type: str
    name: _Name | None = None
    description: str | None = None
    format: Raw = msgspec.field(default_factory=no_schema)
    parameters: NullableSchema = msgspec.field(default_factory=no_schema)


class AllowedTool(Struct):
    type: str
    name: str | None = None


class ToolChoice(Struct):
    type: str
    name: str | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: Annotated[list[AllowedTool], Meta(max_length=128)] | None = None


class CustomFormat(Struct):
    """The `format` of a custom tool."""

    type: Literal["text", "grammar"]


class Format(Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: _Name | None = None
    schema: NullableSchema = msgspec.field(default_factory=no_schema)


class _Text(Struct):
    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Struct):
    effort: _Repeated | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponsesBody(Struct, kw_only=True):
    """The members of a request that are decoded."""

    model: ModelName
    input: str | Annotated[list[Raw], Meta(max_length=MAX_ITEMS)] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Annotated[int, Meta(le=10_000_000)] | None = None
    max_tool_calls: int | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Fraction | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[_Tool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: Reasoning | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | _Reference | None = None
    prompt: _Reference | None = None
    metadata: Annotated[_Metadata, Meta(max_length=16)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: Annotated[list[str], Meta(max_length=64)] | None = None
    service_tier: _Repeated | None = None
    user: _Repeated | None = None
    safety_identifier: _Repeated | None = None
    prompt_cache_key: _Repeated | None = None
