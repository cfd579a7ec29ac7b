from typing import Any

import msgspec
import pytest
from msgspec import Raw

from tokenfall.messages import Message, ToolCall
from tokenfall.wire.openai.responses.input import messages_of
from tokenfall.wire.openai.responses.item_ids import digest_of

from tests.unit.wire.refusals import refusal


def items(*given: Any) -> list[Raw]:
    return [Raw(msgspec.json.encode(each)) for each in given]


def call(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": "{}", "status": "completed"}


def output(call_id: str, content: Any = "x") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": content}


def test_string_input_is_a_user_message() -> None:
    assert messages_of("Hi") == [Message("user", "Hi")]


def test_messages_of_all_roles_with_all_parts_are_decoded() -> None:
    questions = [
        {"type": "input_text", "text": "a"},
        {"type": "input_image", "image_url": "data:x", "detail": "auto"},
        {"type": "input_image", "file_id": "f"},
        {"type": "input_file", "file_id": "f"},
        {"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}},
        {"type": "input_text", "text": "b"},
    ]
    parts = [{"type": "output_text", "text": "c", "annotations": []}, {"type": "refusal", "refusal": "d"}]

    assert messages_of(
        items(
            {"role": "system", "content": "s"},
            {"role": "developer", "content": "t"},
            {"type": "message", "role": "user", "content": questions},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": parts},
        )
    ) == [
        Message("system", "s"),
        Message("system", "t"),
        Message("user", "ab", images=("data:x",)),
        Message("assistant", "cd"),
    ]


def test_consecutive_calls_join_the_preceding_assistant_message() -> None:
    look = (ToolCall("c1", "look", "{}"), ToolCall("c2", "look", "{}"))

    assert messages_of(
        items(
            {"role": "assistant", "content": "So"},
            call("c1"),
            call("c2"),
            output("c1"),
            output("c2", [{"type": "input_text", "text": "y"}]),
            call("c3"),
            output("c3"),
        )
    ) == [
        Message("assistant", "So", tool_calls=look),
        Message("tool", "x", tool_call_id="c1"),
        Message("tool", "y", tool_call_id="c2"),
        Message("assistant", "", tool_calls=(ToolCall("c3", "look", "{}"),)),
        Message("tool", "x", tool_call_id="c3"),
    ]


def test_input_may_begin_with_a_call() -> None:
    assert [message.role for message in messages_of(items(call("c1"), output("c1")))] == ["assistant", "tool"]


def test_items_of_other_types_are_ignored() -> None:
    others = items(
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": None},
        {"type": "web_search_call", "id": "ws_1", "action": {"type": "search"}},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
    )

    assert messages_of(others) == []


@pytest.mark.parametrize(
    ("item", "param", "message"),
    [
        ({"content": "x"}, "input[0].role", "input[0].role: Object missing required field `role`"),
        ({"role": "tool", "content": "x"}, "input[0].role", "input[0].role: Invalid enum value 'tool'"),
        ({"role": "user"}, "input[0].content", "input[0].content: Object missing required field `content`"),
        (
            {"role": "user", "content": [{"text": "x"}]},
            "input[0].content[0].type",
            "input[0].content[0].type: Object missing required field `type`",
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            "input[0].content[0]",
            (
                "Invalid value: 'text'. Supported values are: 'input_text', 'input_image', 'input_file', "
                "'input_audio', 'output_text' and 'refusal'."
            ),
        ),
        (
            {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]},
            "input[0].content[0]",
            "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.",
        ),
        (
            {"type": "function_call", "name": "look", "arguments": "{}"},
            "input[0].call_id",
            "input[0].call_id: Object missing required field `call_id`",
        ),
        ("text", "input[0]", "input[0]: Expected `object`, got `str`"),
        ({"type": 7}, "input[0].type", "input[0].type: Expected `str | null`, got `int`"),
        (output("c1"), "input", "No tool call found for function call output with call_id c1."),
        (call("c1"), "input", "No tool output found for function call c1."),
        ({"type": "item_reference"}, "input", "Item with id '' not found."),
    ],
)
def test_invalid_item_is_refused_with_its_path(item: Any, param: str, message: str) -> None:
    assert refusal(messages_of, items(item)) == (param, message)


def test_item_nested_too_deeply_is_named() -> None:
    deep = Raw(b'{"type":"message","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    assert refusal(messages_of, [deep]) == ("input[0]", "input[0]: the body is nested too deeply")


def read(*given: dict[str, Any]) -> list[Message]:
    return messages_of(items(*given))


def test_custom_calls_and_their_outputs_are_read() -> None:
    call = {"type": "custom_tool_call", "call_id": "c", "name": "run", "input": "x"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": "y"}

    assert read(call, output) == [
        Message("assistant", "", tool_calls=(ToolCall("c", "run", "x", custom=True),)),
        Message("tool", "y", tool_call_id="c"),
    ]


NUMBER = "0123456789abcdef01234567"


@pytest.mark.parametrize(("kind", "custom"), [("fc", False), ("ctc", True)])
def test_reference_to_a_generated_call_restores_the_call(kind: str, custom: bool) -> None:
    reference = {"type": "item_reference", "id": f"{kind}_{NUMBER}1{digest_of('a')}"}
    output = {"type": "function_call_output", "call_id": f"call_{NUMBER}1", "output": "y"}

    assert read(reference, output)[0].tool_calls == (ToolCall(f"call_{NUMBER}1", "", "", custom=custom),)
    named = messages_of(items(reference, output), ["b", "a"])[0].tool_calls
    assert named == (ToolCall(f"call_{NUMBER}1", "a", "", custom=custom),)


@pytest.mark.parametrize("untyped", [{}, {"type": None}])
def test_items_need_no_type(untyped: dict[str, None]) -> None:
    reference = {"id": f"fc_{NUMBER}1{digest_of('a')}", **untyped}
    output = {"type": "function_call_output", "call_id": f"call_{NUMBER}1", "output": "y"}

    assert read(reference, output) == read({**reference, "type": "item_reference"}, output)
    assert read({"role": "user", "content": "Hi", "id": "msg_1", **untyped}) == [Message("user", "Hi")]


@pytest.mark.parametrize("kind", ["msg", "rs"])
def test_reference_to_a_message_item_is_ignored(kind: str) -> None:
    assert read({"type": "item_reference", "id": f"{kind}_{NUMBER}0"}, {"role": "user", "content": "Hi"}) == [
        Message("user", "Hi")
    ]


@pytest.mark.parametrize(
    "item", ["msg_never", "rs_1", f"msg_{NUMBER}", f"x_{NUMBER}0", f"msg_{NUMBER}z", f"fc_{NUMBER}1234", "", None]
)
def test_reference_to_an_unknown_item_is_refused(item: str | None) -> None:
    assert refusal(read, {"type": "item_reference", "id": item}) == ("input", f"Item with id '{item or ''}' not found.")
