"""Decodes the body of `POST /v1/chat/completions`. Pure.

Source: the OpenAI API reference, "Create chat completion"; `reasoning_format` and `include_reasoning` are Groq's,
`min_tokens` and `ignore_eos` vLLM's. Fields that are not listed are accepted and ignored.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest
from tokenfall.wire.dialect import (
    MAX_ITEMS,
    UNBOUNDED,
    Fraction,
    ModelName,
    ParsedRequest,
    RawSchema,
    decoded,
    no_schema,
    schema_text,
)
from tokenfall.wire.openai.messages import RawMessage, check_tool_messages, messages_of
from tokenfall.wire.openai.tools import ToolFields, check_tools, choice_of, tools_of

Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


_SCHEMA = "response_format.json_schema.schema"


class _JSONSchema(Struct):
    name: str
    schema: RawSchema = msgspec.field(default_factory=no_schema)


class _ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JSONSchema | None = None


class StreamOptions(Struct):
    include_usage: bool | None = None


def includes_usage(options: StreamOptions | None, *, stream: bool | None) -> bool:
    """Whether a stream reports its usage. Raises `InvalidRequest` if the response is no stream."""
    if options is not None and not stream:
        raise InvalidRequest("stream_options is only allowed when stream is true", param="stream_options")
    return options is not None and bool(options.include_usage)


class ChatCompletionBody(ToolFields, kw_only=True):
    """The members of a request that are decoded."""

    model: ModelName
    messages: Annotated[list[RawMessage], Meta(min_length=1, max_length=MAX_ITEMS)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    min_tokens: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    ignore_eos: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Fraction | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    seed: int | None = None
    response_format: _ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    reasoning_effort: str | None = None
    reasoning_format: Literal["parsed", "raw", "hidden"] | None = None
    include_reasoning: bool | None = None
    service_tier: str | None = None


class ChatOptions(Struct, frozen=True):
    """Response options."""

    include_usage: bool = False
    logprobs: bool = False
    top_logprobs: int = 0
    groq: bool = False
    service_tier: str | None = None
    """The tier that the response reports, None if it reports none."""
    raw_reasoning: bool = False
    """Groq's `raw` format: reasoning is a part of the content, between `<think>` and `</think>`."""
    legacy_functions: bool = False
    """Whether the response has `function_call` in place of `tool_calls`."""


_decoder = msgspec.json.Decoder(ChatCompletionBody)


def decode(body: bytes, *, groq: bool = False) -> ParsedRequest:
    """Decode a request. Raises `InvalidRequest` with the invalid field."""
    read = decoded(_decoder, body)
    usage = includes_usage(read.stream_options, stream=read.stream)
    _check(read)
    form = read.response_format
    schema = form.json_schema if form is not None else None
    request = ChatRequest(
        messages=tuple(messages_of(read.messages)),
        model=read.model,
        max_tokens=read.max_completion_tokens or read.max_tokens or UNBOUNDED,
        temperature=read.temperature,
        top_p=read.top_p,
        seed=read.seed,
        stop=stops(read.stop),
        tools=tuple(tools_of(read)),
        tool_choice=choice_of(read),
        parallel_tool_calls=read.parallel_tool_calls is not False and not read.is_legacy,
        schema=None if schema is None else schema_text(schema.schema, _SCHEMA, nullable=False) or b"{}",
        schema_name="" if schema is None else schema.name,
        json_object=form is not None and form.type == "json_object",
        reasoning=_wants_reasoning(read),
        reports_reasoning=_accepts_reasoning(read),
        n=read.n or 1,
        min_tokens=read.min_tokens or 0,
        ignore_eos=bool(read.ignore_eos),
    )
    options = ChatOptions(
        usage,
        bool(read.logprobs),
        read.top_logprobs or 0,
        groq,
        _tier(read, groq=groq),
        raw_reasoning=read.reasoning_format == "raw",
        legacy_functions=read.is_legacy,
    )
    return ParsedRequest(request=request, stream=bool(read.stream), options=options)


def _tier(body: ChatCompletionBody, *, groq: bool) -> str | None:
    """Groq always reports a tier, OpenAI only if the request has one; `auto` is reported as the default tier."""
    given = body.service_tier
    usual = "on_demand" if groq else "default"
    if given in (None, "auto"):
        return usual if groq or given else None
    return given


def stops(stop: str | list[str] | None) -> tuple[str, ...]:
    """The stop sequences; empty ones are ignored."""
    texts = [stop] if isinstance(stop, str) else stop or []
    return tuple(text for text in texts if text)


def _check(body: ChatCompletionBody) -> None:
    """Check constraints between fields."""
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidRequest("top_logprobs is only allowed when logprobs is true", param="top_logprobs")
    form = body.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is None:
        raise InvalidRequest("response_format.json_schema is missing", param="response_format.json_schema")
    _check_reasoning(body)
    check_tools(body)
    check_tool_messages(body.messages)


def _check_reasoning(body: ChatCompletionBody) -> None:
    """Check Groq's members for reasoning."""
    if body.reasoning_format is not None and body.include_reasoning is not None:
        raise InvalidRequest(
            "include_reasoning and reasoning_format cannot be used together", param="include_reasoning"
        )
    form = body.response_format
    if body.reasoning_format == "raw" and (body.tools or body.functions or (form is not None and form.type != "text")):
        problem = "reasoning_format must be parsed or hidden when tools, functions or a JSON response_format are given"
        raise InvalidRequest(problem, param="reasoning_format")


def _wants_reasoning(body: ChatCompletionBody) -> bool:
    formatted = body.reasoning_format in {"parsed", "raw"}
    return _accepts_reasoning(body) and bool(body.reasoning_effort or formatted or body.include_reasoning)


def _accepts_reasoning(body: ChatCompletionBody) -> bool:
    """Whether reasoning was not declined. DeepSeek, vLLM and Ollama send a model's reasoning without being asked."""
    if body.include_reasoning is False or body.reasoning_format == "hidden":
        return False
    return body.reasoning_effort not in {"none", "minimal"}
