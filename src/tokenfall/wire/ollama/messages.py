"""The messages of a chat in Ollama's dialect: what is refused, and what is made of the rest. Pure.

Source: Ollama's Go types (`api.Message`, `api.ToolCall`) and its API reference, "Generate a chat completion". A call
may come without an id there, and its answer may name the tool alone, or nothing: ids are made up here, by position.
"""

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tokenfall.errors import InvalidRequest
from tokenfall.messages import Message, ToolCall
from tokenfall.wire.dialect import MAX_ITEMS

_ROLES = ("system", "user", "assistant", "tool")
_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*")
_MEDIA = (("/9j/", "jpeg"), ("R0lGOD", "gif"), ("UklGR", "webp"))  # how files of each begin, in base64


def _no_arguments() -> msgspec.Raw:
    return msgspec.Raw(b"{}")


class _CalledFunction(Struct):
    name: str | None = None
    arguments: msgspec.Raw = msgspec.field(default_factory=_no_arguments)  # a default itself has no JSON schema


class _Call(Struct):
    function: _CalledFunction
    id: str | None = None


Images = Annotated[list[str], Meta(max_length=MAX_ITEMS)] | None


class RawMessage(Struct):
    """A message as it came."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: Images = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None


def messages(raw: Sequence[RawMessage]) -> tuple[Message, ...]:
    """The whole context. Raises `InvalidRequest`."""
    for name, items in (("images", _images_of), ("tool_calls", _calls_of)):
        if sum(len(items(message)) for message in raw) > MAX_ITEMS:
            raise InvalidRequest(f"messages: at most {MAX_ITEMS} {name} are read", param="messages")
    made = []
    waiting: dict[str, str] = {}  # ids of calls that no message has answered yet, each with its tool
    for number, message in enumerate(raw):
        field = f"messages[{number}]"
        role = message.role.lower()
        if role not in _ROLES:
            raise InvalidRequest(
                f'invalid role: "{message.role[:40]}", must be one of ["system", "user", "assistant", "tool"]',
                param=f"{field}.role",
            )
        calls = _calls(message, number)
        if role == "assistant":
            waiting = {call.id: call.name for call in calls}
        made.append(
            Message(
                role,  # type: ignore[arg-type] # one of Role, by the lines above
                message.content or "",
                tool_calls=calls,
                tool_call_id=_answered(message, waiting, number=number) if role == "tool" else "",
                images=images(message.images, f"{field}.images"),
                thought=(message.thinking or "") if role == "assistant" else "",
            )
        )
    return tuple(made)


def _images_of(message: RawMessage) -> Sequence[object]:
    return message.images or ()


def _calls_of(message: RawMessage) -> Sequence[object]:
    return message.tool_calls or ()


def _calls(message: RawMessage, number: int) -> tuple[ToolCall, ...]:
    made = []
    for place, call in enumerate(message.tool_calls or ()):
        given = bytes(call.function.arguments)
        arguments = object_text(b"{}" if given == b"null" else given)
        if arguments is None:
            field = f"messages[{number}].tool_calls[{place}].function.arguments"
            raise InvalidRequest(f"{field}: Expected `object`", param=field)
        made.append(ToolCall(call.id or f"call_{number}_{place}", call.function.name or "", arguments))
    return tuple(made)


def object_text(document: bytes) -> str | None:
    """The text of a JSON object, in one line and without blanks; None where `document` is none."""
    try:
        text = msgspec.json.format(document, indent=-1).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return text if text.startswith("{") else None


def _answered(message: RawMessage, waiting: dict[str, str], *, number: int) -> str:
    """The id of the call that a tool's message answers: the one it names, else its tool's first, else the first."""
    given = message.tool_call_id or ""
    if given not in waiting:
        of_tool = [call for call, name in waiting.items() if name == message.tool_name]
        given = next(iter(of_tool or waiting), given or f"call_{number}")
    waiting.pop(given, None)
    return given


def images(given: Sequence[str] | None, field: str) -> tuple[str, ...]:
    """The addresses, `data:`, of images in base64. Raises `InvalidRequest`, as Go's decoder says it."""
    return tuple(_image(text, f"{field}[{number}]") for number, text in enumerate(given or ()))


def _image(text: str, field: str) -> str:
    end = _BASE64.match(text).end()  # type: ignore[union-attr] # it matches nothing, too
    if end < len(text):
        raise InvalidRequest(f"{field}: illegal base64 data at input byte {end}", param=field)
    data = text.replace("\r", "").replace("\n", "")
    if len(data) % 4:
        raise InvalidRequest(f"{field}: illegal base64 data at input byte {len(text)}", param=field)
    kind = next((kind for begins, kind in _MEDIA if data.startswith(begins)), "png")
    return f"data:image/{kind};base64,{data}"
