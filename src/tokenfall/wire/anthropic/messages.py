"""Validates and converts the messages of a request in the Anthropic dialect. Pure.

Source: the Claude API reference, "Create a message", and the API's own error responses. Consecutive messages of one
role are one turn, a conversation may begin with the assistant, and a system message may come in the middle
("Mid-conversation system messages"); earlier versions of the API refused all three. Assistant messages and their text
blocks may be empty, which the API refuses, because responses may be.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from tokenfall.errors import InvalidRequest
from tokenfall.messages import Message, ToolCall
from tokenfall.wire.anthropic.blocks import (
    Block,
    Content,
    Image,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    blocks,
    images_of,
    places_of,
    text_of,
)
from tokenfall.wire.anthropic.errors import invalid

MAX_BLOCKS = 1_536
MAX_OTHERS = 1_200
MAX_IMAGES = 600
"""Limits for all messages together, including tool results; the limit for images is the API's own."""


class RawMessage(Struct):
    """A message whose blocks are not decoded yet."""

    role: str
    content: Content


class _Read(Struct):
    role: Literal["user", "assistant", "system"]
    blocks: list[Block]


def messages(system: Content | None, raw: Sequence[RawMessage]) -> tuple[Message, ...]:
    """All messages, the system prompt first. Raises `InvalidRequest`."""
    if not raw:
        raise invalid("messages", "at least one message is required")
    if sum(_size(message.content) for message in raw) > MAX_BLOCKS:
        raise invalid("messages", f"at most {MAX_BLOCKS} content blocks are read")
    read = [_read(message, number) for number, message in enumerate(raw)]
    others = [type(block) for message in read for block in message.blocks if not isinstance(block, Text)]
    if others.count(Image) > MAX_IMAGES:
        raise invalid("messages", f"at most {MAX_IMAGES} images are read")
    if len(others) > MAX_OTHERS:
        raise invalid("messages", f"at most {MAX_OTHERS} content blocks other than texts are read")
    for number, message in enumerate(read):
        _check_text(message, number, last=number == len(read) - 1)
    _check_tools(read)
    converted = [part for message in read for part in _messages(message)]
    return (*_system(system), *converted)


def _size(content: object) -> int:
    """How many blocks a content has, including those within tool results, search results and documents."""
    if not isinstance(content, list):
        return 1
    size = len(content)
    for block in content:
        if not isinstance(block, dict):
            continue
        if "content" in block:
            size += _size(block["content"])
        source = block.get("source")
        if isinstance(source, dict) and "content" in source:
            size += _size(source["content"])
    return size


def _read(message: RawMessage, number: int) -> _Read:
    role = message.role
    if role == "system" and number == 0:
        raise invalid(
            "messages",
            'Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an '
            "input message role.",
        )
    if role not in {"user", "assistant", "system"}:
        raise invalid("messages", f'Unexpected role "{role[:40]}". Allowed roles are "user" or "assistant".')
    read = blocks(message.content, f"messages.{number}.content")
    return _Read(role, read)  # type: ignore[arg-type] # one of the three, by the lines above


def _check_text(message: _Read, number: int, *, last: bool) -> None:
    sole = message.blocks[0] if len(message.blocks) == 1 else None
    if isinstance(sole, Text) and not last and sole.text and not sole.text.isspace():
        return  # fast path for most messages: the checks below take five times as long
    if message.role == "assistant":  # empty responses and blank blocks of the API must be accepted back
        if last and text_of(message.blocks[-1:]).endswith((" ", "\t", "\r", "\n")):
            raise invalid("messages", "final assistant content cannot end with trailing whitespace")
        return
    if not message.blocks:
        raise invalid(
            f"messages.{number}",
            "all messages must have non-empty content except for the optional final assistant message",
        )
    _check_blocks(message.blocks, "messages")


def _check_blocks(read: list[Block], field: str) -> None:
    texts = [block.text for block in read if isinstance(block, Text)]
    if "" in texts:
        raise invalid(field, "text content blocks must be non-empty")
    if any(text.isspace() for text in texts):
        raise invalid(field, "text content blocks must contain non-whitespace text")


def _check_tools(read: list[_Read]) -> None:
    """Check that the next turn begins with the result of every tool call, and that every result has its call."""
    seen: set[str] = set()
    pending: dict[str, int] = {}  # call id: index of its message
    turn = ""
    for number, message in enumerate(read):
        if pending and turn == "user" and message.role == "assistant":
            raise _missing_results(pending)
        turn = turn if message.role == "system" else message.role
        for place, block in enumerate(message.blocks):
            field = f"messages.{number}.content.{place}"
            if isinstance(block, ToolUse):
                _check_use(block, message, seen=seen, field=field)
                pending[block.id] = number
            elif isinstance(block, ToolResult):
                _check_result(block, message, pending=pending, field=field)
                del pending[block.tool_use_id]
            elif pending and message.role != "assistant":
                raise _missing_results(pending)
    if pending:
        raise _missing_results(pending)


def _check_use(block: ToolUse, message: _Read, *, seen: set[str], field: str) -> None:
    if message.role != "assistant":
        raise invalid(field, "`tool_use` blocks can only be in `assistant` messages")
    if block.id in seen:
        raise invalid(field, "`tool_use` ids must be unique")
    seen.add(block.id)


def _check_result(block: ToolResult, message: _Read, *, pending: dict[str, int], field: str) -> None:
    if message.role != "user":
        raise invalid(field, "`tool_result` blocks can only be in `user` messages")
    if block.tool_use_id not in pending:
        raise invalid(
            field,
            f"unexpected `tool_use_id` found in `tool_result` blocks: {block.tool_use_id[:80]}. Each `tool_result` "
            "block must have a corresponding `tool_use` block in the previous message.",
        )


def _missing_results(calls: dict[str, int]) -> InvalidRequest:
    return invalid(
        f"messages.{min(calls.values())}",
        f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(calls)}. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message.",
    )


def _system(system: Content | None) -> list[Message]:
    """The system prompt, its blocks joined as paragraphs."""
    if isinstance(system, list) and len(system) > MAX_BLOCKS:
        raise invalid("system", f"at most {MAX_BLOCKS} content blocks are read")
    read = blocks(system or "", "system")
    _check_blocks(read, "system")
    return [Message("system", "\n\n".join(text_of([block]) for block in read))] if read else []


def _messages(message: _Read) -> list[Message]:
    """One message for each tool result, then one for all other blocks, if any."""
    if len(message.blocks) == 1 and isinstance(message.blocks[0], Text):
        return [Message(message.role, message.blocks[0].text)]
    converted = [_result(block) for block in message.blocks if isinstance(block, ToolResult)]
    others = [block for block in message.blocks if not isinstance(block, ToolResult)] if converted else message.blocks
    if others or not converted:
        calls = [_call(block) for block in others if isinstance(block, ToolUse)]
        thoughts = [block.thinking for block in others if isinstance(block, Thinking)]
        converted.append(
            Message(
                message.role,
                text_of(others),
                tool_calls=tuple(calls),
                images=images_of(others),
                image_places=places_of(others),
                thought="".join(thoughts),
            )
        )
    return converted


def _call(block: ToolUse) -> ToolCall:
    return ToolCall(block.id, block.name, msgspec.json.encode(block.input).decode())


def _result(block: ToolResult) -> Message:
    return Message("tool", text_of(block.blocks), tool_call_id=block.tool_use_id, images=images_of(block.blocks))
