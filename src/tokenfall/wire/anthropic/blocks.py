"""The content of a message in the Anthropic dialect: blocks, read one by one by their `type`. Pure.

Source: the Claude API reference, "Create a message", `messages[].content`. Blocks that only a provider can read
(encrypted thoughts, results of its own tools, PDFs) are accepted and not read.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from tokenfall.wire.anthropic.errors import invalid, rephrased

Content = str | list[dict[str, Any]]


class Text(Struct):
    """Something said."""

    text: str


class Image(Struct):
    """An image by its address, `data:` or `https:`; "" for a file of the provider's."""

    address: str


class Document(Struct):
    """A document, of which only a plain text is read."""

    source: dict[str, Any]


class ToolUse(Struct):
    """What the model wanted done."""

    id: str
    name: str
    input: dict[str, Any]


class ToolResult(Struct):
    """What came of it, in blocks of its own."""

    tool_use_id: str
    blocks: "list[Block]"


class Thinking(Struct):
    """What the model thought. That which a provider encrypted is accepted and not read."""

    thinking: str


class Other(Struct):
    """A block that is accepted and not read."""


Block = Text | Image | Document | ToolUse | ToolResult | Thinking | Other
T = TypeVar("T")


class _Image(Struct):
    source: dict[str, Any]


class _Base64Image(Struct):
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class _URLImage(Struct):
    url: str


class _ToolResult(Struct):
    tool_use_id: str
    content: Content | None = None


_IN_RESULTS = {"text", "image", "document"}
_OTHER_DIALECTS = {"image_url", "input_text", "input_image", "input_audio", "input_file", "output_text", "refusal"}


def blocks(content: Content, field: str, *, in_result: bool = False) -> list[Block]:
    """The blocks of a content; a text stands for one block of it. Raises `InvalidRequest`.

    `in_result` is for what a tool's result holds: no calls, and no further results.
    """
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [_block(block, f"{field}.{number}", in_result=in_result) for number, block in enumerate(content)]


def tagged(tag: str, field: str) -> Exception:
    """The refusal of a block or tool of a type that the API does not know."""
    return invalid(field, f"Input tag {tag!r} found using 'type' does not match any of the expected tags")


def converted(value: dict[str, Any], kind: type[T], *, field: str) -> T:
    """`value` as a `kind`. Raises `InvalidRequest` in the API's words."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        raise rephrased(text, field + path.removesuffix("`")) from None


def text_of(read: Iterable[Block]) -> str:
    """The text of blocks, joined, and of documents that are plain text."""
    return "".join(_text(block) for block in read)


def images_of(read: Iterable[Block]) -> tuple[str, ...]:
    """The addresses of the images among blocks."""
    return tuple(block.address for block in read if isinstance(block, Image) and block.address)


def _text(block: Block) -> str:
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Document) and block.source.get("type") == "text":
        return str(block.source.get("data", ""))
    return ""


def _block(block: dict[str, Any], field: str, *, in_result: bool) -> Block:
    tag = block.get("type")
    if not isinstance(tag, str):
        raise invalid(f"{field}.type", "Field required")
    if tag in _OTHER_DIALECTS:
        raise tagged(tag, field)
    if in_result and tag not in _IN_RESULTS:
        return Other()
    reader = _READERS.get(tag)
    return Other() if reader is None else reader(block, f"{field}.{tag}")


def _text_block(block: dict[str, Any], field: str) -> Block:
    text = block.get("text")
    if isinstance(text, str):  # most blocks by far, and the converter takes five times as long
        return Text(text)
    return converted(block, Text, field=field)


def _document(block: dict[str, Any], field: str) -> Block:
    return converted(block, Document, field=field)


def _tool_use(block: dict[str, Any], field: str) -> Block:
    return converted(block, ToolUse, field=field)


def _tool_result(block: dict[str, Any], field: str) -> Block:
    read = converted(block, _ToolResult, field=field)
    return ToolResult(read.tool_use_id, blocks(read.content or "", f"{field}.content", in_result=True))


def _image(block: dict[str, Any], field: str) -> Block:
    return Image(_address(converted(block, _Image, field=field).source, f"{field}.source"))


def _thinking(block: dict[str, Any], _field: str) -> Block:
    thinking = block.get("thinking")
    return Thinking(thinking if isinstance(thinking, str) else "")


_READERS: dict[str, Callable[[dict[str, Any], str], Block]] = {
    "text": _text_block,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
}


def _address(source: dict[str, Any], field: str) -> str:
    """Where an image is, as one address: `data:` or `https:`; "" for a file of the provider's."""
    kind = source.get("type")
    if kind == "base64":
        image = converted(source, _Base64Image, field=f"{field}.base64")
        return f"data:{image.media_type};base64,{image.data}"
    if kind == "url":
        url = converted(source, _URLImage, field=f"{field}.url").url
        if not url.startswith("https://"):
            raise invalid(f"{field}.url.url", "Only HTTPS URLs are supported.")
        return url
    if kind != "file":
        raise invalid(field, "Input should have the type 'base64', 'url' or 'file'")
    return ""
