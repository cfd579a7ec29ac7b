"""Validates and converts the messages of a chat completion request. Pure.

Source: the OpenAI API reference, "Create chat completion", `messages`.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tokenfall.errors import InvalidRequest
from tokenfall.messages import Message, ToolCall
from tokenfall.wire.openai.errors import missing_parameter


class _ImageURL(Struct):
    url: str


class _Part(Struct):
    """A part of a message's content. Types other than text and image_url are accepted and ignored."""

    type: str
    text: str = ""
    image_url: _ImageURL | None = None


class _CalledFunction(Struct):
    name: str
    arguments: str = ""


class _CalledCustom(Struct):
    name: str
    input: str = ""


class _Call(Struct):
    id: str
    type: str = "function"
    function: _CalledFunction | None = None
    custom: _CalledCustom | None = None


class RawMessage(Struct):
    """A message as sent by the client."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    function_call: _CalledFunction | None = None


def messages_of(raws: Sequence[RawMessage]) -> Iterator[Message]:
    """Convert all messages. Raises `InvalidRequest`.

    A legacy `function_call` has no id: it gets one, as does its result, a later message of role `function`. Such a
    message without a call is a user message.
    """
    called: ToolCall | None = None
    for number, raw in enumerate(raws):
        if raw.role == "function" and called is not None and raw.name in (None, called.name):
            yield replace(_message(raw, number), role="tool", tool_call_id=called.id)
            called = None
            continue
        converted = _message(raw, number)
        if raw.function_call is not None and raw.role == "assistant":
            called = ToolCall(f"function_call_{number}", raw.function_call.name, raw.function_call.arguments)
            converted = replace(converted, tool_calls=(*converted.tool_calls, called))
        elif raw.role != "tool":
            called = None
        yield converted


def check_tool_messages(messages: list[RawMessage]) -> None:
    """Check that every tool call has its result before the next other message, and every result its call."""
    open_calls: set[str] = set()
    for number, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise InvalidRequest(
                    f"messages[{number}]: a message of role 'tool' must follow a message with its tool call",
                    param=f"messages[{number}].tool_call_id",
                )
            open_calls.discard(message.tool_call_id)
        elif open_calls:
            raise InvalidRequest(
                f"messages[{number}]: the tool calls before it must have their results first: {_listed(open_calls)}",
                param=f"messages[{number}].role",
            )
        else:
            open_calls = {call.id for call in message.tool_calls or ()}
    if open_calls:
        raise InvalidRequest(
            f"messages: the tool calls of the last assistant message must have results: {_listed(open_calls)}",
            param="messages",
        )


def _call(call: _Call, param: str) -> ToolCall:
    """A call of a function or custom tool. Raises `InvalidRequest` if it has neither member."""
    if call.function is not None:
        return ToolCall(call.id, call.function.name, call.function.arguments)
    if call.custom is not None:
        return ToolCall(call.id, call.custom.name, call.custom.input, custom=True)
    raise missing_parameter(f"{param}.{call.type if call.type == 'custom' else 'function'}")


def _listed(calls: set[str]) -> str:
    return ", ".join(sorted(calls))[:300]


def _message(raw: RawMessage, number: int) -> Message:
    """Convert the message at index `number`. Raises `InvalidRequest`."""
    if raw.content is None and not raw.tool_calls and raw.role != "assistant":
        raise InvalidRequest(f"messages[{number}].content is missing", param=f"messages[{number}].content")
    text, images = _text_and_images(raw.content)
    calls = raw.tool_calls or ()
    role = {"developer": "system", "function": "user"}.get(raw.role, raw.role)
    return Message(
        role,  # type: ignore[arg-type] # one of Role, by the table above
        text,
        tool_calls=tuple(_call(call, f"messages[{number}].tool_calls[{n}]") for n, call in enumerate(calls)),
        tool_call_id=raw.tool_call_id or "",
        images=images,
    )


def _text_and_images(content: str | list[_Part] | None) -> tuple[str, tuple[str, ...]]:
    """The text of a message's content, its parts joined, and the URLs of its images."""
    if content is None or isinstance(content, str):
        return content or "", ()
    images = tuple(part.image_url.url for part in content if part.image_url is not None)
    return "".join(part.text for part in content if part.type == "text"), images
