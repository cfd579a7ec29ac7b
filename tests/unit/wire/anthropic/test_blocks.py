from typing import Any

import pytest

from tokenfall.wire.anthropic.blocks import Image, Other, Text, ToolResult, ToolUse, blocks, images_of, text_of

from tests.unit.wire.refusals import refusal


def image(**source: object) -> dict[str, Any]:
    return {"type": "image", "source": source}


@pytest.mark.parametrize(
    ("block", "address"),
    [
        (image(type="base64", media_type="image/webp", data="AAAA"), ("data:image/webp;base64,AAAA",)),
        (image(type="url", url="https://a.b/c.png"), ("https://a.b/c.png",)),
        (image(type="file", file_id="file_1"), ()),
        ({**image(type="file", file_id="file_1"), "address": "https://a.b/c.png"}, ()),
        ({"type": "text", "text": "a"}, ()),
    ],
)
def test_image_source_becomes_a_url(block: dict[str, Any], address: tuple[str, ...]) -> None:
    assert images_of(blocks([block], "f")) == address


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "All of it."}, "All of it."),
        ({"type": "text"}, ""),
        ({"type": "base64", "media_type": "application/pdf", "data": "AAAA"}, ""),
        ({"type": "content", "content": "All of it."}, "All of it."),
        ({"type": "content", "content": [{"type": "text", "text": "All"}, {"type": "other"}]}, "All"),
        ({"type": "content", "content": 7}, ""),
        ({"type": "content", "content": [7]}, ""),
        ({"type": "content"}, ""),
    ],
)
def test_plain_text_document_has_its_text(source: dict[str, Any], text: str) -> None:
    assert text_of(blocks([{"type": "document", "source": source, "title": "T"}], "f")).strip() == text


def test_search_results_and_images_in_documents_are_read() -> None:
    found = {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "a"}]}
    pictured = {"type": "document", "source": {"type": "content", "content": [image(type="url", url="https://a")]}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [found]}

    assert text_of(blocks([found, found], "f")) == "\na\n\na\n"
    assert images_of(blocks([pictured], "f")) == ("https://a",)
    assert blocks([result], "f") == [ToolResult("t", blocks([found], "f"))]


@pytest.mark.parametrize("kind", ["redacted_thinking", "server_tool_use", "new_tomorrow"])
def test_blocks_of_other_types_are_decoded_as_other(kind: str) -> None:
    assert blocks([{"type": kind, "text": "a", "content": 7}], "f") == [Other()]


def test_calls_and_results_are_decoded() -> None:
    use = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": [1]}}
    others = [{"type": "tool_result", "tool_use_id": "t"}, {"type": "tool_reference"}]
    inner = [{"type": "text", "text": "a"}, image(type="url", url="https://a"), *others]
    result = {"type": "tool_result", "tool_use_id": "t", "content": inner, "blocks": [1]}

    assert blocks([use, result, {"type": "tool_result", "tool_use_id": "u"}], "f") == [
        ToolUse("t", "n", {"a": [1]}),
        ToolResult("t", [Text("a"), Image("https://a"), Other(), Other()]),
        ToolResult("u", []),
    ]


def test_string_content_is_one_block_and_empty_content_none() -> None:
    assert blocks("Hi", "f") == [Text("Hi")]
    assert blocks("", "f") == []


@pytest.mark.parametrize(
    ("block", "param", "message"),
    [
        ({}, "f.0.type", "Field required"),
        ({"type": 7}, "f.0.type", "Field required"),
        (
            {"type": "image_url", "image_url": {"url": "x"}},
            "f.0",
            "Input tag 'image_url' found using 'type' does not match any of the expected tags",
        ),
        ({"type": "text"}, "f.0.text.text", "Field required"),
        ({"type": "text", "text": None}, "f.0.text.text", "Input should be a valid string"),
        ({"type": "image"}, "f.0.image.source", "Field required"),
        ({"type": "document"}, "f.0.document.source", "Field required"),
        (image(), "f.0.image.source", "Input should have the type 'base64', 'url' or 'file'"),
        (image(type="base64", data="A"), "f.0.image.source.base64.media_type", "Field required"),
        (image(type="base64", media_type="image/png"), "f.0.image.source.base64.data", "Field required"),
        (
            image(type="base64", media_type="image/tiff", data=""),
            "f.0.image.source.base64.media_type",
            "Invalid enum value 'image/tiff'",
        ),
        (image(type="url"), "f.0.image.source.url.url", "Field required"),
        (image(type="url", url="http://a.b"), "f.0.image.source.url.url", "Only HTTPS URLs are supported."),
        ({"type": "tool_use", "name": "n", "input": {}}, "f.0.tool_use.id", "Field required"),
        ({"type": "tool_use", "id": "t", "name": "n"}, "f.0.tool_use.input", "Field required"),
        (
            {"type": "tool_use", "id": "t", "name": "n", "input": "{}"},
            "f.0.tool_use.input",
            "Input should be a valid dictionary",
        ),
        ({"type": "tool_result"}, "f.0.tool_result.tool_use_id", "Field required"),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": 7},
            "f.0.tool_result.content",
            "Input should be a valid string or list",
        ),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]},
            "f.0.tool_result.content.0.text.text",
            "Field required",
        ),
    ],
)
def test_missing_block_field_is_named(block: dict[str, Any], param: str, message: str) -> None:
    assert refusal(blocks, [block], "f") == (param, f"{param}: {message}")
