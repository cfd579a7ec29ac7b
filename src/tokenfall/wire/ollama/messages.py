"""Validates and converts the messages of a chat in Ollama's dialect. Pure.

Source: Ollama's Go types (`api.Message`, `api.ToolCall`) and its API reference, "Generate a chat completion". A tool
call may have no id, and its result may have only the tool's name, or nothing: ids are generated here, by position.
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
_MEDIA = (("/9j/", "jpeg"), ("R0lGOD", "gif"), ("UklGR", "webp"))  # base64 of the magic bytes of each format


def _no_arguments() -> msgspec.Raw:
    return msgspec.Raw(b"{}")


class _CalledFunction(Struct):
    name: str | None = None
    arguments: msgspec.Raw = msgspec.field(default_factory=_no_arguments)  # msgspec has no schema for a Raw default


class _Call(Struct):
    function: _CalledFunction
    id: str | None = None


Images = Annotated[list[str], Meta(max_length=MAX_ITEMS)] | None


class RawChatMessage(Struct):
    """A message as sent by the client."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: Images = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None


def messages(raw: Sequence[RawChatMessage]) -> tuple[Message, ...]:
    """All messages. Raises `InvalidRequest`."""
    for name in ("images", "tool_calls"):
        if sum(len(getattr(message, name) or ()) for message in raw) > MAX_ITEMS:
            raise InvalidRequest(f"messages: at most {MAX_ITEMS} {name} are read", param="messages")
    converted = []
    pending: dict[str, str] = {}  # id of a call without a result: its tool
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
            pending = {call.id: call.name for call in calls}
        converted.append(
            Message(
                role,  # type: ignore[arg-type] # one of Role, by the lines above
                message.content or "",
                tool_calls=calls,
                tool_call_id=_call_of_result(message, pending, number=number) if role == "tool" else "",
                images=images(message.images, f"{field}.images"),
                thought=(message.thinking or "") if role == "assistant" else "",
            )
        )
    return tuple(converted)


def _calls(message: RawChatMessage, number: int) -> tuple[ToolCall, ...]:
    calls = []
    for place, call in enumerate(message.tool_calls or ()):
        raw = bytes(call.function.arguments)
        arguments = object_text(b"{}" if raw == b"null" else raw)
        if arguments is None:
            field = f"messages[{number}].tool_calls[{place}].function.arguments"
            raise InvalidRequest(f"{field}: Expected `object`", param=field)
        calls.append(ToolCall(call.id or f"call_{number}_{place}", call.function.name or "", arguments))
    return tuple(calls)


def object_text(document: bytes) -> str | None:
    """`document` as compact JSON text; None if it is not a JSON object."""
    try:
        text = msgspec.json.format(document, indent=-1).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return text if text.startswith("{") else None


def _call_of_result(message: RawChatMessage, pending: dict[str, str], *, number: int) -> str:
    """The call id of a tool message: its own, else that of the first pending call of its tool, else of the first."""
    call_id = message.tool_call_id or ""
    if call_id not in pending:
        of_tool = [call for call, name in pending.items() if name == message.tool_name]
        call_id = next(iter(of_tool or pending), call_id or f"call_{number}")
    pending.pop(call_id, None)
    return call_id


def images(given: Sequence[str] | None, field: str) -> tuple[str, ...]:
    """The `data:` URLs of images in base64. Raises `InvalidRequest` with the wording of Go's decoder."""
    return tuple(_image(text, f"{field}[{number}]") for number, text in enumerate(given or ()))


def _image(text: str, field: str) -> str:
    end = _BASE64.match(text).end()  # type: ignore[union-attr] # it also matches ""
    if end < len(text):
        raise InvalidRequest(f"{field}: illegal base64 data at input byte {end}", param=field)
    data = text.replace("\r", "").replace("\n", "")
    if len(data) % 4:
        raise InvalidRequest(f"{field}: illegal base64 data at input byte {len(text)}", param=field)
    kind = next((kind for prefix, kind in _MEDIA if data.startswith(prefix)), "png")
    return f"data:image/{kind};base64,{data}"
