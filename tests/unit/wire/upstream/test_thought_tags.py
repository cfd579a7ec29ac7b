import json
from typing import Any

import pytest

from tokenfall.events import Finished, ReasoningDelta, TextDelta, ToolCallDelta
from tokenfall.wire.upstream.reader import ResponseReader
from tokenfall.wire.upstream.thought_tags import is_thought

THOUGHT = {"google": {"thought": True}}


def chunk(**delta: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()


def thought(text: str) -> bytes:
    return chunk(content=text, extra_content=THOUGHT)


def output(*chunks: bytes) -> tuple[str, str]:
    """The reasoning and the text of a stream."""
    reader = ResponseReader()
    events = [event for each in (*chunks, b"data: [DONE]\n\n") for event in reader.feed(each)]
    assert reader.broken is None
    assert isinstance(events[-1], Finished)
    reasoning = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    return reasoning, "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    "chunks",
    [
        [thought("<thought>a"), thought("b"), chunk(content="</thought>c"), chunk(content="d")],
        [thought("<thought>a"), thought("b</thought>"), chunk(content="c"), chunk(content="d")],
        [thought("<thought>ab</thought>"), chunk(content="cd")],
        [thought("a"), thought("b"), chunk(content="c", extra_content=None), chunk(content="d")],
        [thought("<thought>ab"), chunk(content="</thou"), chunk(content="ght>c"), chunk(content="d")],
        [thought("<thought>ab"), chunk(content=""), chunk(content="</thought>cd")],
        [thought("<thought>ab"), chunk(content="</thought>cd"), chunk(content=None, extra_content={"google": {}})],
    ],
)
def test_marked_content_is_reasoning_without_its_tags(chunks: list[bytes]) -> None:
    assert output(*chunks) == ("ab", "cd")


def test_end_tag_before_a_call_is_removed() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    reader = ResponseReader()
    events = reader.feed(thought("<thought>a") + chunk(content="</thought>", tool_calls=[call]))

    assert events == [ReasoningDelta("a"), ToolCallDelta(0, "a", "f", "{}")]


@pytest.mark.parametrize("text", ["</thou", "</think>", "<thought>", "a</thought>"])
def test_other_text_after_a_thought_is_unchanged(text: str) -> None:
    assert output(thought("<thought>a</thought>"), chunk(content=text)) == ("a", text)
    assert output(thought("<thought>a"), chunk(content="</thought>"), chunk(content=text)) == ("a", text)


def test_beginning_of_an_end_tag_at_the_end_is_text() -> None:
    assert output(thought("a"), chunk(content="</th")) == ("a", "</th")


def test_tag_in_text_without_marked_thoughts_is_text() -> None:
    assert output(chunk(content="</thought>"), chunk(content="a")) == ("", "</thought>a")


@pytest.mark.parametrize(
    "extra", [None, 7, {"google": 7}, {"google": {"thought": "true"}}, {"vertex": {"thought": True}}]
)
def test_content_with_another_mark_is_text(extra: object) -> None:
    assert not is_thought({"content": "a", "extra_content": extra})
    assert output(chunk(content="a", extra_content=extra)) == ("", "a")
