import pytest

from tokenfall.messages import ChatRequest, Message, Tool, ToolCall
from tokenfall.simulator.estimate import TOKENS_PER_IMAGE, estimated_tokens, tokens_besides


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
