"""Decodes the body of `POST /v1/responses`. Pure.

Source: the OpenAI API reference, "Create a model response". This server stores no responses: references to a stored one
(`previous_response_id`, `conversation`, `prompt`) are refused as not found, and `background` is refused. `store` is
accepted; an `item_reference` is resolved from its id and the request's tools. Tools of types other than `function` and
`custom`, and fields that are not listed, are accepted and ignored.
"""

from collections.abc import Collection, Iterator

import msgspec
from msgspec import Raw

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest, Grammar, Message, Tool
from tokenfall.wire.dialect import UNBOUNDED, ParsedRequest, decoded, decoded_part, schema_text
from tokenfall.wire.openai.errors import missing_parameter
from tokenfall.wire.openai.responses.body import CustomFormat, Format, Reasoning, ResponsesBody, ToolChoice
from tokenfall.wire.openai.responses.input import messages_of
from tokenfall.wire.openai.responses.options import options_of, repeated_bytes

MIN_OUTPUT_TOKENS = 16
_TOOL_TYPES = ("function", "custom")

_decoder = msgspec.json.Decoder(ResponsesBody)
_format_decoder = msgspec.json.Decoder(CustomFormat)
_grammar_decoder = msgspec.json.Decoder(Grammar)


def decode(body: bytes) -> ParsedRequest:
    """Decode a request. Raises `InvalidRequest` with the invalid field."""
    read = decoded(_decoder, body)
    _check_stored_references(read)
    _check_output(read)
    _check_tools(read)
    form = read.text.format if read.text is not None else None
    names = (tool.name for tool in read.tools or () if tool.name is not None)
    instructions = () if read.instructions is None else (Message("system", read.instructions),)
    request = ChatRequest(
        messages=(*instructions, *messages_of(read.input or "", names)),
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
    options = options_of(read, body)
    return ParsedRequest(
        request=request, stream=bool(read.stream), options=options, repeated_bytes=repeated_bytes(options)
    )


def _allowed_tools(body: ResponsesBody) -> Iterator[Tool]:
    """The tools that may be called: all function and custom tools, or those that `allowed_tools` lists."""
    choice = body.tool_choice
    allowed = None
    if isinstance(choice, ToolChoice) and choice.type == "allowed_tools":
        allowed = {tool.name for tool in choice.tools or ()}
    return (tool for tool in _supported_tools(body) if allowed is None or tool.name in allowed)


def _supported_tools(body: ResponsesBody) -> Iterator[Tool]:
    for number, tool in enumerate(body.tools or ()):
        parameters = schema_text(tool.parameters, f"tools[{number}].parameters")
        if tool.type in _TOOL_TYPES and tool.name is not None:
            custom = tool.type == "custom"
            grammar = _grammar(tool.format, f"tools[{number}].format") if custom else None
            described = tool.description or ""
            yield Tool(tool.name, described, b"" if custom else parameters or b"", custom=custom, grammar=grammar)


def _grammar(form: Raw, param: str) -> Grammar | None:
    """The grammar of a custom tool's `format`. Raises `InvalidRequest`."""
    if bytes(form) in (b"", b"null"):
        return None
    try:
        return decoded_part(_grammar_decoder, form) if decoded_part(_format_decoder, form).type == "grammar" else None
    except InvalidRequest as error:
        path = f"{param}.{error.param}" if error.param else param
        raise InvalidRequest(f"{path}: {error.message.partition(': ')[2]}", param=path) from None


def _schema(form: Format) -> bytes | None:
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
    if isinstance(choice, ToolChoice) and choice.type == "allowed_tools":
        _check_allowed(choice, {tool.name for tool in tools})
    if not isinstance(choice, ToolChoice) or choice.type not in _TOOL_TYPES:
        return
    if choice.name is None:
        raise missing_parameter("tool_choice.name")
    if choice.name not in [tool.name for tool in tools if tool.type == choice.type]:
        message = f"Tool choice '{choice.name[:80]}' not found in 'tools' parameter."
        raise InvalidRequest(message, param="tool_choice")


def _check_allowed(choice: ToolChoice, names: Collection[str | None]) -> None:
    if choice.tools is None:
        raise missing_parameter("tool_choice.tools")
    for allowed in choice.tools:
        if allowed.type in _TOOL_TYPES and allowed.name not in names:
            message = f"Tool choice '{(allowed.name or '')[:80]}' not found in 'tools' parameter."
            raise InvalidRequest(message, param="tool_choice")


def _choice(body: ResponsesBody) -> str:
    """`auto`, `none`, `required` or a tool's name; `auto` if the choice is a tool of another type."""
    choice = body.tool_choice
    if isinstance(choice, ToolChoice):
        return {"function": choice.name or "", "custom": choice.name or "", "allowed_tools": choice.mode}.get(
            choice.type, "auto"
        )
    return choice or "auto"


def _wants_reasoning(reasoning: Reasoning | None) -> bool:
    if reasoning is None:
        return False
    return reasoning.effort not in (None, "none", "minimal") or reasoning.summary is not None
