import json
from typing import Any

import msgspec
import pytest

from tokenfall.messages import ChatRequest, Message, ToolCall
from tokenfall.wire.tool_names import client_id, upstream_name
from tokenfall.wire.upstream.messages import IMAGE_NOTE, JSON_NOTE, NO_RESULT, encoded_messages
from tokenfall.wire.upstream.rewrites import CALL_IDS, JSON_WORD, REASONING_REQUIRED, SIGNATURE


def encoded(*messages: Message, rewrites: tuple[str, ...] = (), **fields: Any) -> list[dict[str, Any]]:
    request = ChatRequest(messages=messages, model="m", max_tokens=9, rewrites=frozenset(rewrites), **fields)
    result: list[dict[str, Any]] = json.loads(msgspec.json.encode(encoded_messages(request)))
    return result


def calling(*ids: str, text: str = "") -> Message:
    return Message("assistant", text, tool_calls=tuple(ToolCall(each, "f", "{}") for each in ids))


def result(call_id: str, text: str = "ok", *images: str) -> Message:
    return Message("tool", text, tool_call_id=call_id, images=images)


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


USER = Message("user", "Hi")
CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:x"}}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (USER, {"role": "user", "content": "Hi"}),
        (Message("system", "Be brief."), {"role": "system", "content": "Be brief."}),
        (Message("assistant", "So"), {"role": "assistant", "content": "So"}),
        (
            Message("user", "What?", images=("data:x",)),
            {"role": "user", "content": [{"type": "text", "text": "What?"}, IMAGE]},
        ),
        (Message("user", "", images=("data:x", "data:x")), {"role": "user", "content": [IMAGE, IMAGE]}),
        (
            Message("user", "One: two: same?", images=("data:x", "data:x"), image_places=(5, 10)),
            {"role": "user", "content": [text("One: "), IMAGE, text("two: "), IMAGE, text("same?")]},
        ),
    ],
)
def test_message_keeps_its_text_and_images(message: Message, expected: dict[str, Any]) -> None:
    assert encoded(message) == [expected]


@pytest.mark.parametrize("content", ["", "So"])
def test_call_and_its_result_are_kept(content: str) -> None:
    assert encoded(calling("c", text=content), result("c", "rain")) == [
        {"role": "assistant", "content": content or None, "tool_calls": [CALLED]},
        {"role": "tool", "content": "rain", "tool_call_id": "c"},
    ]


def test_reasoning_is_sent_unless_the_upstream_refuses_it() -> None:
    message = Message("assistant", "So", thought="Hm")

    assert encoded(message) == [{"role": "assistant", "content": "So", "reasoning_content": "Hm"}]
    assert encoded(message, rewrites=("reasoning_content",)) == [{"role": "assistant", "content": "So"}]


def test_assistant_message_of_refused_reasoning_alone_is_omitted() -> None:
    message = Message("assistant", "", thought="Hm")

    assert encoded(message) == [{"role": "assistant", "content": "", "reasoning_content": "Hm"}]
    assert encoded(message, rewrites=("reasoning_content",)) == []


def test_empty_system_and_assistant_messages_are_omitted() -> None:
    messages = (Message("system", ""), USER, Message("assistant", ""), Message("assistant", "\n"), USER)

    assert encoded(*messages) == [{"role": "user", "content": "Hi"}] * 2
    assert encoded(Message("user", "")) == [{"role": "user", "content": ""}]


# Results


def test_images_in_tool_results_are_sent_in_a_user_message_after_them() -> None:
    results = (result("a", "here", "data:1", "data:2"), result("b", "", "data:3"), result("c", "none"))
    images = [{"type": "image_url", "image_url": {"url": f"data:{number}"}} for number in (1, 2, 3)]
    expected = [
        {"role": "tool", "content": "here", "tool_call_id": "a"},
        {"role": "tool", "content": IMAGE_NOTE, "tool_call_id": "b"},
        {"role": "tool", "content": "none", "tool_call_id": "c"},
        {"role": "user", "content": images},
    ]

    assert encoded(calling("a", "b", "c"), *results)[1:] == expected
    assert encoded(calling("a", "b", "c"), *results, USER)[1:] == [*expected, {"role": "user", "content": "Hi"}]


def test_call_without_a_result_gets_one() -> None:
    expected = [
        {"role": "tool", "content": "ok", "tool_call_id": "b"},
        {"role": "tool", "content": NO_RESULT, "tool_call_id": "a"},
    ]

    assert encoded(calling("a", "b"), result("b"))[1:] == expected
    assert encoded(calling("a", "b"), result("b"), USER)[1:] == [*expected, {"role": "user", "content": "Hi"}]
    assert encoded(calling("a"), calling("b"), result("b"))[1]["tool_call_id"] == "a"


def test_result_without_a_call_is_a_user_message() -> None:
    assert encoded(USER, result("a", "rain"), result("b", "")) == [
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": "rain"},
        {"role": "user", "content": NO_RESULT},
    ]
    assert encoded(calling("a"), result("a"), result("a"))[2] == {"role": "user", "content": "ok"}


# Names and ids


def test_names_and_ids_are_mapped_for_the_upstream() -> None:
    name, call_id = "x" * 100, client_id("functions.f:0")
    message, answer = encoded(Message("assistant", "", tool_calls=(ToolCall(call_id, name, "{}"),)), result(call_id))

    assert message["tool_calls"][0]["id"] == answer["tool_call_id"] == "functions.f:0"
    assert message["tool_calls"][0]["function"]["name"] == upstream_name(name)


def test_ids_of_calls_are_shortened_if_the_upstream_refuses_others() -> None:
    ids = ["D681PevKs", "call_1", "toolu_02", client_id("functions.f:0")]
    message, *results = encoded(calling(*ids), *map(result, ids), rewrites=(CALL_IDS,))
    short = [call["id"] for call in message["tool_calls"]]

    assert short[0] == "D681PevKs"
    assert len(set(short)) == 4
    assert all(len(each) == 9 and each.isalnum() for each in short)
    assert [each["tool_call_id"] for each in results] == short


def test_extra_in_the_id_of_a_call_is_sent_with_the_call() -> None:
    extra = {"google": {"thought_signature": "c2ln"}}
    call_id = client_id("c", json.dumps(extra).encode())
    message, answer = encoded(calling(call_id), result(call_id))

    assert message["tool_calls"] == [{**CALLED, "extra_content": extra}]
    assert answer["tool_call_id"] == "c"


# JSON


def test_note_with_the_word_json_is_sent_if_the_upstream_requires_it() -> None:
    assert encoded(USER, json_object=True) == [{"role": "user", "content": "Hi"}]
    assert encoded(USER, json_object=True, rewrites=(JSON_WORD,)) == [
        {"role": "system", "content": JSON_NOTE},
        {"role": "user", "content": "Hi"},
    ]
    assert encoded(USER, rewrites=(JSON_WORD,)) == [{"role": "user", "content": "Hi"}]


def test_call_without_a_signature_gets_one_if_the_upstream_requires_it() -> None:
    signed = client_id("c", b'{"google":{"thought_signature":"c2ln"}}')
    messages = (calling("a", "b"), result("a"), result("b"), calling(signed), result(signed))
    first, _, _, second, _ = encoded(*messages, rewrites=(SIGNATURE,))
    extras = [call.get("extra_content") for message in (first, second) for call in message["tool_calls"]]

    assert extras == [
        {"google": {"thought_signature": "skip_thought_signature_validator"}},
        None,
        {"google": {"thought_signature": "c2ln"}},
    ]


def test_assistant_message_without_reasoning_gets_some_if_the_upstream_requires_it() -> None:
    messages = (USER, Message("assistant", "So", thought="Hm"), calling("a"), result("a"))
    sent = encoded(*messages, rewrites=(REASONING_REQUIRED,))

    assert [message.get("reasoning_content") for message in sent] == [None, "Hm", " ", None]
