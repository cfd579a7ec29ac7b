"""Decodes the content blocks of a message in the Anthropic dialect, by their `type`. Pure.

Source: the Claude API reference, "Create a message", `messages[].content`. Blocks that only the provider can read
(encrypted reasoning, results of its own tools, PDFs) are accepted and ignored.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from tokenfall.wire.anthropic.errors import invalid, rephrased

Content = str | list[dict[str, Any]]


class Text(Struct):
    """A text block."""

    text: str


class Image(Struct):
    """An image by its `data:` or `https:` URL; "" for a file stored at the provider."""

    address: str


class Document(Struct):
    """A document or search result; of a document, only plain text and content blocks are read."""

    blocks: "list[Block]"


class ToolUse(Struct):
    """A tool call of the model."""

    id: str
    name: str
    input: dict[str, Any]


class ToolResult(Struct):
    """The result of a tool call."""

    tool_use_id: str
    blocks: "list[Block]"


class Thinking(Struct):
    """The model's reasoning. Encrypted reasoning is accepted and ignored."""

    thinking: str


class Other(Struct):
    """A block that is accepted and ignored."""


Block = Text | Image | Document | ToolUse | ToolResult | Thinking | Other
T = TypeVar("T")


class _Sourced(Struct):
    source: dict[str, Any]


class _SearchResult(Struct):
    content: list[dict[str, Any]]


class _Base64Image(Struct):
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class _URLImage(Struct):
    url: str


class _ToolResult(Struct):
    tool_use_id: str
    content: Content | None = None


_IN_RESULTS = {"text", "image", "document", "search_result"}
_IN_DOCUMENTS = {"text", "image"}
_OTHER_DIALECTS = {"image_url", "input_text", "input_image", "input_audio", "input_file", "output_text", "refusal"}


def blocks(content: Content, field: str, *, allowed: set[str] | None = None) -> list[Block]:
    """The blocks of a content; a string is one text block. Raises `InvalidRequest`.

    `allowed` are the types that are read within another block; others are ignored there.
    """
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [_block(block, field, number=number, allowed=allowed) for number, block in enumerate(content)]


def tagged(tag: str, field: str) -> Exception:
    """The error for a block or tool of an unknown type."""
    return invalid(field, f"Input tag {tag!r} found using 'type' does not match any of the expected tags")


def converted(value: dict[str, Any], field: str, *, kind: type[T]) -> T:
    """`value` as a `kind`. Raises `InvalidRequest` with the API's wording."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        raise rephrased(text, field + path.removesuffix("`")) from None


def text_of(read: Iterable[Block]) -> str:
    """The joined text of text blocks and documents."""
    return "".join([_text(block) for block in read])


def images_of(read: Iterable[Block]) -> tuple[str, ...]:
    """The URLs of the images among blocks, and of those in documents."""
    images: list[str] = []
    for block in read:
        if isinstance(block, Image) and block.address:
            images.append(block.address)
        elif isinstance(block, Document):
            images += images_of(block.blocks)
    return tuple(images)


def places_of(read: Iterable[Block]) -> tuple[int, ...]:
    """The position of each of `images_of` in `text_of`; empty if all images follow the text."""
    places: list[int] = []
    end = 0
    for block in read:
        end += len(_text(block))
        places += [end] * len(images_of((block,)))
    return tuple(places) if places and places[0] < end else ()


def _text(block: Block) -> str:
    if isinstance(block, Text):
        return block.text
    text = text_of(block.blocks) if isinstance(block, Document) else ""
    return f"\n{text}\n" if text else ""  # a document is not part of the line before or after it


def _block(block: dict[str, Any], content: str, *, number: int, allowed: set[str] | None) -> Block:
    """The block number `number` of the content in the field `content`."""
    tag = block.get("type")
    if tag == "text":
        text = block.get("text")
        if isinstance(text, str):  # fast path for most blocks: the converter takes five times as long
            return Text(text)
    field = f"{content}.{number}"
    if not isinstance(tag, str):
        raise invalid(f"{field}.type", "Field required")
    if tag in _OTHER_DIALECTS:
        raise tagged(tag, field)
    if allowed is not None and tag not in allowed:
        return Other()
    reader = _READERS.get(tag)
    return Other() if reader is None else reader(block, f"{field}.{tag}")


def _document(block: dict[str, Any], field: str) -> Block:
    source = converted(block, field, kind=_Sourced).source
    if source.get("type") == "text":
        return Document([Text(str(source.get("data", "")))])
    content = source.get("content") if source.get("type") == "content" else None
    if not isinstance(content, (str, list)) or not all(isinstance(each, (str, dict)) for each in content):
        return Document([])
    return Document(blocks(content, f"{field}.source.content.content", allowed=_IN_DOCUMENTS))


def _search_result(block: dict[str, Any], field: str) -> Block:
    content = converted(block, field, kind=_SearchResult).content
    return Document(blocks(content, f"{field}.content", allowed={"text"}))


def _tool_result(block: dict[str, Any], field: str) -> Block:
    read = converted(block, field, kind=_ToolResult)
    return ToolResult(read.tool_use_id, blocks(read.content or "", f"{field}.content", allowed=_IN_RESULTS))


def _image(block: dict[str, Any], field: str) -> Block:
    source = block.get("source")
    if not isinstance(source, dict):
        source = converted(block, field, kind=_Sourced).source
    return Image(_address(source, f"{field}.source"))


def _thinking(block: dict[str, Any], _field: str) -> Block:
    thinking = block.get("thinking")
    return Thinking(thinking if isinstance(thinking, str) else "")


_READERS: dict[str, Callable[[dict[str, Any], str], Block]] = {
    "text": partial(converted, kind=Text),
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_use": partial(converted, kind=ToolUse),
    "tool_result": _tool_result,
    "thinking": _thinking,
}


def _address(source: dict[str, Any], field: str) -> str:
    """The `data:` or `https:` URL of an image; "" for a file stored at the provider."""
    kind = source.get("type")
    if kind == "base64":
        image = converted(source, f"{field}.base64", kind=_Base64Image)
        return f"data:{image.media_type};base64,{image.data}"
    if kind == "url":
        url = source.get("url")
        if not isinstance(url, str):  # the converter takes five times as long, but explains what is wrong
            url = converted(source, f"{field}.url", kind=_URLImage).url
        if not url.startswith("https://"):
            raise invalid(f"{field}.url.url", "Only HTTPS URLs are supported.")
        return url
    if kind != "file":
        raise invalid(field, "Input should have the type 'base64', 'url' or 'file'")
    return ""
