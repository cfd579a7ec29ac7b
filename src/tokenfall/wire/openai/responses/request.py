"""Decodes the body of `POST /v1/responses`. Pure.

Source: the OpenAI API reference, "Create a model response". This server stores no responses: references to a stored one
(`previous_response_id`, `conversation`, `prompt`) are refused as not found, and `background` is refused. `store` is
accepted; an `item_reference` is resolved from its id and the request's tools. Tools of types other than `function` and
`custom`, and fields that are not listed, are accepted and ignored.
"""

from collections.abc import Iterator, Sequence
from sys import getsizeof
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest, Message, Tool
from tokenfall.wire.dialect import MAX_ITEMS, UNBOUNDED, NullableSchema, ParsedRequest, decoded, no_schema, schema_text
from tokenfall.wire.openai.errors import missing_parameter
from tokenfall.wire.openai.request import Fraction
from tokenfall.wire.openai.responses.input import messages_of

MIN_OUTPUT_TOKENS = 16
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"

_TOOL_TYPES = ("function", "custom")
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}\Z")]
_Metadata = dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]]


class _Reference(Struct):
    id: str


class _Tool(Struct):
    type: str
    name: _Name | None = None
    description: str | None = None
    parameters: NullableSchema = msgspec.field(default_factory=no_schema)


class _AllowedTool(Struct):
    type: str
    name: str | None = None


class _ToolChoice(Struct):
    type: str
    name: str | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: Annotated[list[_AllowedTool], Meta(max_length=128)] | None = None


class _Format(Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: _Name | None = None
    schema: NullableSchema = msgspec.field(default_factory=no_schema)


class _Text(Struct):
    format: _Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Struct):
    effort: str | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponsesBody(Struct, kw_only=True):
    """The members of a request that are decoded."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    input: str | Annotated[list[Raw], Meta(max_length=MAX_ITEMS)] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Annotated[int, Meta(le=10_000_000)] | None = None
    max_tool_calls: int | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Fraction | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[_Tool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | _ToolChoice | None = None
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
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


class ResponsesOptions(Struct, frozen=True):
    """The request members that a response repeats. `tools`, `tool_choice` and `format` are the original JSON."""

    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    reasoning: Reasoning
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[Any]
    top_logprobs: int
    top_p: float
    truncation: str
    service_tier: str
    user: str | None
    safety_identifier: str | None
    prompt_cache_key: str | None
    encrypted: bool = False
    """Whether reasoning items have `encrypted_content`."""
    logprobs: bool = False
    """Whether texts have log probabilities, with `top_logprobs` alternatives. In a stream, only deltas have them."""


class _RepeatedText(Struct):
    format: Raw = msgspec.field(default_factory=Raw)
    verbosity: str | None = None


class _Repeated(Struct):
    """Request members that a response repeats as original JSON: schemas in them are not decoded."""

    tools: list[Raw] | None = None
    tool_choice: Raw = msgspec.field(default_factory=Raw)
    text: _RepeatedText | None = None


_decoder = msgspec.json.Decoder(ResponsesBody)
_repeated_decoder = msgspec.json.Decoder(_Repeated)


def decode(body: bytes) -> ParsedRequest:
    """Decode a request. Raises `InvalidRequest` with the invalid field."""
    read = decoded(_decoder, body)
    _check_stored_references(read)
    _check_output(read)
    _check_tools(read)
    repeated = decoded(_repeated_decoder, body)
    form = read.text.format if read.text is not None else None
    instructions = () if read.instructions is None else (Message("system", read.instructions),)
    request = ChatRequest(
        messages=(*instructions, *messages_of(read.input or "", _tool_names(read))),
        model=read.model,
        max_tokens=read.max_output_tokens or UNBOUNDED,
        temperature=read.temperature,
        top_p=read.top_p,
        tools=tuple(_allowed_tools(read)),
        tool_choice=_choice(read),
        parallel_tool_calls=read.parallel_tool_calls is not False,
        schema=_schema(form) if form is not None and form.type == "json_schema" else None,
        schema_name=(form is not None and form.name) or "",
        json_object=form is not None and form.type == "json_object",
        reasoning=_wants_reasoning(read.reasoning),
    )
    options = _options(read, repeated)
    return ParsedRequest(
        request=request, stream=bool(read.stream), input=options, repeated_bytes=_repeated_bytes(options)
    )


def _allowed_tools(body: ResponsesBody) -> Iterator[Tool]:
    """The tools that may be called: all function and custom tools, or those that `allowed_tools` lists."""
    choice = body.tool_choice
    allowed = None
    if isinstance(choice, _ToolChoice) and choice.type == "allowed_tools":
        allowed = {tool.name for tool in choice.tools or ()}
    return (tool for tool in _supported_tools(body.tools or ()) if allowed is None or tool.name in allowed)


def _supported_tools(tools: Sequence[_Tool]) -> Iterator[Tool]:
    for number, tool in enumerate(tools):
        parameters = schema_text(tool.parameters, f"tools[{number}].parameters")
        if tool.type in _TOOL_TYPES and tool.name is not None:
            custom = tool.type == "custom"
            yield Tool(tool.name, tool.description or "", b"" if custom else parameters or b"", custom=custom)


def _tool_names(body: ResponsesBody) -> Iterator[str]:
    return (tool.name for tool in body.tools or () if tool.name is not None)


def _schema(form: _Format) -> bytes | None:
    return schema_text(form.schema, "text.format.schema")


def _check_stored_references(body: ResponsesBody) -> None:
    """Refuse members that refer to stored state."""
    if body.background:
        raise InvalidRequest("background is not available: responses are not stored", param="background")
    if body.previous_response_id is not None:
        message = f"Previous response with id '{body.previous_response_id[:80]}' not found."
        raise InvalidRequest(message, param="previous_response_id")
    if body.conversation is not None:
        name = body.conversation if isinstance(body.conversation, str) else body.conversation.id
        raise InvalidRequest(f"Conversation with id '{name[:80]}' not found.", param="conversation")
    if body.prompt is not None:
        raise InvalidRequest(f"Prompt with id '{body.prompt.id[:80]}' not found.", param="prompt")
    if body.input is None or body.input == []:
        message = """One of "input" or "previous_response_id" or 'prompt' or 'conversation_id' must be provided."""
        raise InvalidRequest(message, param="input")


def _check_output(body: ResponsesBody) -> None:
    """Check the fields that constrain the output."""
    most = body.max_output_tokens
    if most is not None and most < MIN_OUTPUT_TOKENS:
        raise InvalidRequest(
            "Invalid 'max_output_tokens': integer below minimum value. "
            f"Expected a value >= {MIN_OUTPUT_TOKENS}, but got {most} instead.",
            param="max_output_tokens",
        )
    form = body.text.format if body.text is not None else None
    if form is not None and form.type == "json_schema":
        if form.name is None:
            raise missing_parameter("text.format.name")
        if _schema(form) is None:
            raise missing_parameter("text.format.schema")


def _check_tools(body: ResponsesBody) -> None:
    tools = body.tools or []
    for number, tool in enumerate(tools):
        if tool.type in _TOOL_TYPES and tool.name is None:
            raise missing_parameter(f"tools[{number}].name")
    choice = body.tool_choice
    if choice == "required" and not tools:
        raise InvalidRequest("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
    if isinstance(choice, _ToolChoice) and choice.type == "allowed_tools":
        _check_allowed(choice, tools)
    if not isinstance(choice, _ToolChoice) or choice.type not in _TOOL_TYPES:
        return
    if choice.name is None:
        raise missing_parameter("tool_choice.name")
    if choice.name not in [tool.name for tool in tools if tool.type == choice.type]:
        message = f"Tool choice '{choice.name[:80]}' not found in 'tools' parameter."
        raise InvalidRequest(message, param="tool_choice")


def _check_allowed(choice: _ToolChoice, tools: Sequence[_Tool]) -> None:
    if choice.tools is None:
        raise missing_parameter("tool_choice.tools")
    names = {tool.name for tool in tools}
    for allowed in choice.tools:
        if allowed.type in _TOOL_TYPES and allowed.name not in names:
            message = f"Tool choice '{(allowed.name or '')[:80]}' not found in 'tools' parameter."
            raise InvalidRequest(message, param="tool_choice")


def _choice(body: ResponsesBody) -> str:
    """`auto`, `none`, `required` or a tool's name; `auto` if the choice is a tool of another type."""
    choice = body.tool_choice
    if isinstance(choice, _ToolChoice):
        return {"function": choice.name or "", "custom": choice.name or "", "allowed_tools": choice.mode}.get(
            choice.type, "auto"
        )
    return choice or "auto"


def _wants_reasoning(reasoning: Reasoning | None) -> bool:
    if reasoning is None:
        return False
    return reasoning.effort not in (None, "none", "minimal") or reasoning.summary is not None


def _options(body: ResponsesBody, repeated: _Repeated) -> ResponsesOptions:
    text = repeated.text or _RepeatedText()
    return ResponsesOptions(
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        max_tool_calls=body.max_tool_calls,
        metadata=body.metadata or {},
        parallel_tool_calls=body.parallel_tool_calls is not False,
        reasoning=body.reasoning or Reasoning(),
        store=body.store is not False,
        temperature=1.0 if body.temperature is None else body.temperature,
        text={"format": _raw_or_none(text.format) or {"type": "text"}, "verbosity": text.verbosity or "medium"},
        tool_choice=_raw_or_none(repeated.tool_choice) or "auto",
        tools=[tool.copy() for tool in repeated.tools or ()],
        top_logprobs=body.top_logprobs or 0,
        top_p=1.0 if body.top_p is None else body.top_p,
        truncation=body.truncation or "disabled",
        service_tier="default" if body.service_tier in (None, "auto") else body.service_tier,
        user=body.user,
        safety_identifier=body.safety_identifier,
        prompt_cache_key=body.prompt_cache_key,
        encrypted=_ENCRYPTED in (body.include or ()),
        logprobs=_LOGPROBS in (body.include or ()),
    )


def _raw_or_none(raw: Raw) -> Raw | None:
    """A copy of `raw`, which refers to the whole body."""
    return raw.copy() if bytes(raw) not in (b"", b"null") else None


def _repeated_bytes(options: ResponsesOptions) -> int:
    """Memory of the texts and the JSON that a response repeats."""
    texts = (options.instructions or "", *options.metadata.values())
    raws = (*options.tools, options.tool_choice, options.text["format"])
    return sum(map(getsizeof, texts)) + sum(len(bytes(raw)) for raw in raws if isinstance(raw, Raw))
