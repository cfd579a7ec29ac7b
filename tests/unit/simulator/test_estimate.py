import pytest

from tokenfall.events import OutputEvent, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tokenfall.messages import ChatRequest, Message, Tool, ToolCall
from tokenfall.simulator.estimate import TOKENS_PER_IMAGE, ResponseEstimate, estimated_tokens, tokens_besides


def request(*messages: Message, tools: tuple[Tool, ...] = ()) -> ChatRequest:
    return ChatRequest(messages=messages, model="m", max_tokens=9, tools=tools)


@pytest.mark.parametrize(
    ("text", "theirs"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 201),
        ("def f(x):\n    return [y * 2 for y in x]\n" * 10, 160),
        ("大语言模型让答案一个词一个词地落下。" * 10, 170),
        ('{"a":1,"b":[true,null]}' * 10, 130),
    ],
)
def test_estimate_is_close_to_the_count_of_tokenizers(text: str, theirs: int) -> None:
    assert theirs / 3 <= estimated_tokens(request(Message("user", text))) <= theirs * 3


def test_every_part_of_a_prompt_is_estimated() -> None:
    call = ToolCall("c", "f" * 4, "x" * 40)
    plain = estimated_tokens(request(Message("assistant", "")))

    assert estimated_tokens(request(Message("assistant", "", tool_calls=(call,)))) == plain + 11
    assert estimated_tokens(request(Message("assistant", "", thought="x" * 40))) == plain + 10
    assert estimated_tokens(request(Message("user", "", images=("data:x",)))) == plain + TOKENS_PER_IMAGE
    assert tokens_besides(request(tools=(Tool("abcd", "x" * 8, b"{}"),))) == 4


def response(*events: OutputEvent, reported: Usage | None = None) -> Usage:
    estimate = ResponseEstimate()
    for event in events:
        estimate.add(event)
    return estimate.usage(reported, prompt_tokens=7)


@pytest.mark.parametrize(
    ("events", "usage"),
    [
        ((), Usage(7, 0)),
        ([TextDelta(""), TextDelta("", b'{"token":"a"}')], Usage(7, 0)),
        ([TextDelta("Large"), TextDelta(" language"), TextDelta(" models")], Usage(7, 3)),
        ([TextDelta("大语"), TextDelta("言")], Usage(7, 2)),
        ([TextDelta("x" * 9)], Usage(7, 3)),
        ([TextDelta("x" * 400), TextDelta("大" * 4)], Usage(7, 103)),
        ([ReasoningDelta("Hm"), ReasoningDelta(" so"), TextDelta("Yes")], Usage(7, 3, reasoning_tokens=2)),
        ([ToolCallDelta(0, "c", "f", ""), ToolCallDelta(0, "", "", "{"), ToolCallDelta(0, "", "", "}")], Usage(7, 3)),
        ([*[TextDelta("a")] * 100, ToolCallDelta(0, "c", "f" * 8, "x" * 392)], Usage(7, 200)),
    ],
)
def test_pieces_are_tokens_unless_they_are_large(events: list[OutputEvent], usage: Usage) -> None:
    assert response(*events) == usage


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (Usage(3, 5), Usage(3, 5)),
        (Usage(3, 0), Usage(3, 1)),
        (Usage(0, 5), Usage(7, 5)),
        (Usage(9, 0, cached_tokens=4), Usage(9, 1, cached_tokens=4)),
    ],
)
def test_only_missing_counts_are_estimated(reported: Usage, usage: Usage) -> None:
    assert response(TextDelta("Hello"), reported=reported) == usage
