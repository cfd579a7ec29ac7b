"""Decodes the tools of a chat completion request, also in their legacy form, `functions`. Pure.

Source: the OpenAI API reference, "Create chat completion": `tools`, `tool_choice`, and the deprecated `functions` and
`function_call`. A function is a tool of which a response has at most one call.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.messages import Grammar, Tool
from tokenfall.wire.dialect import NullableSchema, no_schema, schema_text
from tokenfall.wire.openai.errors import missing_parameter

MAX_TOOLS = 128


class RawFunction(Struct):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}\Z")]
    description: str | None = None
    parameters: NullableSchema = msgspec.field(default_factory=no_schema)


class _CustomFormat(Struct):
    type: Literal["text", "grammar"]
    grammar: Grammar | None = None


class _Custom(Struct):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}\Z")]
    description: str | None = None
    format: _CustomFormat | None = None


class RawTool(Struct):
    type: str
    function: RawFunction | None = None
    custom: _Custom | None = None


class _Named(Struct):
    name: str


class _AllowedTool(Struct):
    type: str
    function: _Named | None = None
    custom: _Named | None = None


class _AllowedTools(Struct):
    mode: Literal["auto", "required"]
    tools: Annotated[list[_AllowedTool], Meta(max_length=MAX_TOOLS)]


class RawToolChoice(Struct):
    """A single tool, or `allowed_tools`."""

    type: Literal["function", "custom", "allowed_tools"]
    function: _Named | None = None
    custom: _Named | None = None
    allowed_tools: _AllowedTools | None = None


class ToolFields(Struct, kw_only=True):
    """The members of a request that describe its tools."""

    tools: Annotated[list[RawTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | RawToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[RawFunction], Meta(max_length=MAX_TOOLS)] | None = None
    function_call: Literal["none", "auto"] | _Named | None = None

    @property
    def is_legacy(self) -> bool:
        """Whether the request has functions, so that a call in the response is a `function_call`."""
        return bool(self.functions)


def tools_of(body: ToolFields) -> Iterator[Tool]:
    """The tools that may be called: all, or those that `allowed_tools` lists; or the functions."""
    if body.functions:
        return (_function(each, f"functions[{number}]") for number, each in enumerate(body.functions))
    choice = body.tool_choice
    allowed = None
    if isinstance(choice, RawToolChoice) and choice.allowed_tools is not None:
        allowed = {_name_of(tool) for tool in choice.allowed_tools.tools}
    return (tool for tool in _supported_tools(body.tools or ()) if allowed is None or tool.name in allowed)


def _supported_tools(tools: Sequence[RawTool]) -> Iterator[Tool]:
    for number, tool in enumerate(tools):
        function = tool.function
        if function is not None:
            yield _function(function, f"tools[{number}].function")
        elif tool.custom is not None:
            form = tool.custom.format
            grammar = None if form is None or form.type == "text" else form.grammar
            if form is not None and form.type == "grammar" and grammar is None:
                raise missing_parameter(f"tools[{number}].custom.format.grammar")
            yield Tool(tool.custom.name, tool.custom.description or "", custom=True, grammar=grammar)


def _function(function: RawFunction, param: str) -> Tool:
    parameters = schema_text(function.parameters, f"{param}.parameters")
    return Tool(function.name, function.description or "", parameters or b"")


def choice_of(body: ToolFields) -> str:
    """The choice as `ChatRequest.tool_choice`."""
    choice = body.function_call if body.is_legacy else body.tool_choice
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    if isinstance(choice, _Named):
        return choice.name
    return _name_of(choice) if choice.allowed_tools is None else choice.allowed_tools.mode


def _name_of(tool: RawTool | _AllowedTool | RawToolChoice) -> str:
    """The name of the function or custom tool, "" if there is none."""
    named = tool.function or tool.custom
    return "" if named is None else named.name


def check_tools(body: ToolFields) -> None:
    """Check constraints between these fields. Raises `InvalidRequest`."""
    for number, tool in enumerate(body.tools or ()):
        if (tool.type == "function" and tool.function is None) or (tool.type == "custom" and tool.custom is None):
            raise missing_parameter(f"tools[{number}].{tool.type}")
    _check_tool_choice(body)
    _check_functions(body)


def _check_tool_choice(body: ToolFields) -> None:
    choice = body.tool_choice
    if choice is not None and choice != "none" and not body.tools:
        raise InvalidRequest("tool_choice is only allowed when tools are given", param="tool_choice")
    if not isinstance(choice, RawToolChoice):
        return
    if getattr(choice, choice.type) is None:
        raise missing_parameter(f"tool_choice.{choice.type}")
    known = {(tool.type, _name_of(tool)) for tool in body.tools or ()}
    for tool in [choice] if choice.allowed_tools is None else choice.allowed_tools.tools:
        name = _name_of(tool)
        if (tool.type, name) not in known:
            problem = f"tool_choice names the {tool.type[:40]} tool {name[:80]!r}, which is not one of tools"
            raise InvalidRequest(problem, param="tool_choice")


def _check_functions(body: ToolFields) -> None:
    choice = body.function_call
    if body.functions and body.tools:
        raise InvalidRequest("functions and tools cannot be used together", param="functions")
    if choice is not None and choice != "none" and not body.functions:
        raise InvalidRequest("function_call is only allowed when functions are given", param="function_call")
    if isinstance(choice, _Named) and all(function.name != choice.name for function in body.functions or ()):
        problem = f"function_call names the function {choice.name[:80]!r}, which is not one of functions"
        raise InvalidRequest(problem, param="function_call")
