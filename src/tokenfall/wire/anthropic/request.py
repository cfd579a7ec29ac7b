"""Decodes the bodies of `POST /v1/messages` and `/v1/messages/count_tokens`. Pure.

Source: the Claude API reference, "Create a message" and "Count tokens in a message". Fields that are not listed are
accepted and ignored, and so are the provider's own tools (those with another `type` than `custom`).
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from tokenfall.errors import InvalidRequest, NotFound
from tokenfall.messages import ChatRequest, Tool
from tokenfall.wire.anthropic.blocks import Content, tagged
from tokenfall.wire.anthropic.errors import invalid, rephrased
from tokenfall.wire.anthropic.messages import RawMessage, messages
from tokenfall.wire.dialect import (
    MAX_ITEMS,
    MAX_STOPS,
    MAX_TOOLS,
    UNBOUNDED,
    Fraction,
    ModelName,
    ParsedRequest,
    RawSchema,
    decoded,
    decoded_part,
    missing_field,
)

MIN_THINKING_BUDGET = 1024
_BUDGETS = ((4_096, "low"), (16_384, "medium"))
"""Largest reasoning budget in tokens of each effort; above that it is `high`."""


class _ToolChoice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(Struct):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class _Format(Struct):
    type: Literal["json_schema"]
    schema: RawSchema


class _OutputConfig(Struct):
    format: _Format | None = None
    effort: str | None = None


class _Tool(Struct):
    """A tool, not decoded: the provider's own tools have other members, or members of other types."""

    type: Raw = msgspec.field(default_factory=Raw)
    name: Raw = msgspec.field(default_factory=Raw)
    description: Raw = msgspec.field(default_factory=Raw)
    input_schema: Raw = msgspec.field(default_factory=Raw)
    strict: Raw = msgspec.field(default_factory=Raw)


class _CustomTool(Struct):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}\Z")]
    description: str | None = None
    strict: bool | None = None


class _Typed(Struct):
    type: Raw = msgspec.field(default_factory=Raw)


class CountTokensBody(Struct, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`: everything that is counted as input."""

    model: ModelName
    messages: Annotated[list[RawMessage], Meta(max_length=MAX_ITEMS, extra_json_schema={"minItems": 1})]
    system: Content | None = None
    tools: Annotated[list[_Tool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    """The previous name of `output_config.format`."""


class _Thread(Struct):
    type: str = ""


class MessagesBody(CountTokensBody, kw_only=True):
    """The members of `POST /v1/messages` that are decoded."""

    thread: _Thread | None = None

    max_tokens: Annotated[int, Meta(ge=0, le=10_000_000)]
    """0 generates nothing: with the API, such a request fills the prompt cache."""

    stream: bool | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=MAX_STOPS)] | None = None
    temperature: Fraction | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None


class MessagesOptions(Struct, frozen=True):
    """Response options."""

    omit_thinking: bool = False


_body = msgspec.json.Decoder(MessagesBody)
_prompt = msgspec.json.Decoder(CountTokensBody)
_custom = msgspec.json.Decoder(_CustomTool)
_text = msgspec.json.Decoder(str)
_typed = msgspec.json.Decoder(_Typed)
T = TypeVar("T")


def decode(body: bytes) -> ParsedRequest:
    """Decode a request to `/v1/messages`. Raises `InvalidRequest` with the invalid field."""
    read = _decoded_body(_body, body)
    _check(read)
    request = msgspec.structs.replace(
        _request(read),
        max_tokens=read.max_tokens,
        temperature=read.temperature,
        top_p=read.top_p,
        stop=tuple(read.stop_sequences or ()),
    )
    thinking = read.thinking
    options = MessagesOptions(omit_thinking=thinking is not None and thinking.display == "omitted")
    return ParsedRequest(request=request, stream=bool(read.stream), options=options)


def for_upstream(parsed: ParsedRequest) -> ParsedRequest:
    """`parsed`, unless it only fills the prompt cache: chat completions generate a token or more."""
    if parsed.request.max_tokens < 1:
        raise invalid("max_tokens", "Input should be greater than or equal to 1: the upstream cannot only fill a cache")
    return parsed


def decode_count(body: bytes) -> ChatRequest:
    """Decode a request to count tokens. Raises `InvalidRequest` with the invalid field."""
    return _request(_decoded_body(_prompt, body))


def _decoded_body(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    try:
        return decoded(decoder, body)
    except InvalidRequest as error:
        raise _explained(error) from None


def _explained(error: InvalidRequest, *, within: str = "") -> InvalidRequest:
    """The error of a decoder in the API's wording; `within` is the field that was decoded, "" for the body."""
    if error.param is None:
        return error
    text = error.message.removeprefix(f"{error.param}: ")
    field = error.param.removesuffix(missing_field(text)).removesuffix(".")  # `rephrased` appends it again
    return rephrased(text, ".".join(filter(None, (within, field))))


def _check(body: MessagesBody) -> None:
    """Check constraints between the fields of a request to `/v1/messages`."""
    if body.thread is not None and body.thread.type == "continue":
        # No threads are stored. On this error the SDK sends the complete conversation again.
        raise NotFound("The thread was not found: send the whole conversation again.", param="thread")
    if any(not text.strip() for text in body.stop_sequences or ()):
        raise invalid("stop_sequences", "each stop sequence must contain non-whitespace")
    thinking = body.thinking
    if thinking is None or thinking.type != "enabled":
        return
    exceeds = thinking.budget_tokens is not None and thinking.budget_tokens >= body.max_tokens
    if exceeds and not body.tools:  # with tools, the budget may be of several blocks ("Interleaved thinking")
        raise InvalidRequest("`max_tokens` must be greater than `thinking.budget_tokens`.", param="max_tokens")
    if body.temperature not in {None, 1}:
        raise InvalidRequest("`temperature` may only be set to 1 when thinking is enabled.", param="temperature")
    if body.tool_choice is not None and body.tool_choice.type in {"any", "tool"}:
        raise InvalidRequest("Thinking may not be enabled when tool_choice forces tool use.", param="tool_choice")


def _request(prompt: CountTokensBody) -> ChatRequest:
    custom = _custom_tools(prompt.tools or [])
    choice = prompt.tool_choice
    try:
        read = messages(prompt.system, prompt.messages)
    except RecursionError:  # the converter runs deeper in the stack and may overflow where the decoder did not
        raise InvalidRequest("the body is nested too deeply") from None
    return ChatRequest(
        messages=read,
        model=prompt.model,
        max_tokens=UNBOUNDED,
        tools=custom,
        tool_choice=_tool_choice(prompt, custom),
        parallel_tool_calls=choice is None or not choice.disable_parallel_tool_use,
        schema=_schema(prompt),
        reasoning=_wants_reasoning(prompt.thinking),
        effort=_effort(prompt),
        disables_reasoning=prompt.thinking is not None and prompt.thinking.type == "disabled",
    )


def _effort(prompt: CountTokensBody) -> str:
    """The upstream's `reasoning_effort`: from `output_config.effort`, else derived from the thinking budget."""
    thinking = prompt.thinking
    if thinking is not None and thinking.type == "disabled":
        return ""
    effort = prompt.output_config.effort if prompt.output_config is not None else None
    if effort is not None:
        return effort if effort in ("low", "medium") else "high"
    if thinking is None or thinking.budget_tokens is None:
        return ""
    return next((level for most, level in _BUDGETS if thinking.budget_tokens <= most), "high")


def _schema(prompt: CountTokensBody) -> bytes | None:
    config = prompt.output_config
    if config is not None and config.format is not None:
        return _object(config.format.schema, "output_config.format.schema")
    return None if prompt.output_format is None else _object(prompt.output_format.schema, "output_format.schema")


def _custom_tools(tools: list[_Tool]) -> tuple[Tool, ...]:
    """The client's own tools, without the provider's."""
    names = [name for tool in tools if (name := _string(tool.name)) is not None]
    if len(set(names)) < len(names):
        raise invalid("tools", "Tool names must be unique.")
    custom = []
    for number, tool in enumerate(tools):
        kind = _string(tool.type)
        if kind == "function":
            raise tagged("function", f"tools.{number}")
        if kind == "custom" or bytes(tool.type) in {b"", b"null"}:
            custom.append(_custom_tool(tool, f"tools.{number}.custom"))
    return tuple(custom)


def _custom_tool(tool: _Tool, field: str) -> Tool:
    given = {"name": tool.name, "description": tool.description, "strict": tool.strict}
    try:
        read = decoded_part(_custom, msgspec.json.encode({name: raw for name, raw in given.items() if bytes(raw)}))
    except InvalidRequest as error:
        raise _explained(error, within=field) from None
    schema = _object(tool.input_schema, f"{field}.input_schema")
    kind = bytes(decoded_part(_typed, schema).type)
    if kind != b'"object"':
        raise invalid(f"{field}.input_schema.type", "Input should be 'object'" if kind else "Field required")
    return Tool(read.name, read.description or "", schema, strict=bool(read.strict))


def _string(raw: Raw) -> str | None:
    text = bytes(raw)
    return decoded_part(_text, text) if text.startswith(b'"') else None


def _object(raw: Raw, field: str) -> bytes:
    """The JSON text of an object, not decoded: see `tokenfall.simulator.structured_output`."""
    text = bytes(raw)
    if not text.startswith(b"{"):
        raise invalid(field, "Input should be a valid dictionary" if text else "Field required")
    return text


def _tool_choice(prompt: CountTokensBody, custom: tuple[Tool, ...]) -> str:
    """The choice as `ChatRequest.tool_choice`; `auto` if it is one of the provider's own tools."""
    choice = prompt.tool_choice
    if choice is None or choice.type in {"auto", "none"}:
        return "auto" if choice is None else choice.type
    if not prompt.tools:
        raise InvalidRequest("tool_choice may only be specified while providing tools.", param="tool_choice")
    if choice.type == "any":
        return "required" if custom else "auto"
    if choice.name is None:
        raise invalid("tool_choice.tool.name", "Field required")
    if choice.name not in [_string(tool.name) for tool in prompt.tools]:
        raise InvalidRequest(f"Tool '{choice.name[:80]}' not found in provided tools", param="tool_choice")
    return choice.name if any(tool.name == choice.name for tool in custom) else "auto"


def _wants_reasoning(thinking: _Thinking | None) -> bool:
    if thinking is None or thinking.type == "disabled":
        return False
    if thinking.type == "enabled":
        if thinking.budget_tokens is None:
            raise invalid("thinking.enabled.budget_tokens", "Field required")
        if thinking.budget_tokens < MIN_THINKING_BUDGET:
            raise invalid("thinking.enabled.budget_tokens", "Input should be greater than or equal to 1024")
    return True
