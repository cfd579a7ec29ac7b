from typing import Any

import msgspec
import pytest

from tokenfall.messages import Message, ToolCall
from tokenfall.wire.ollama.messages import RawChatMessage, images, messages, object_text

from tests.unit.wire.refusals import refusal


def read(*documents: dict[str, object]) -> tuple[Message, ...]:
    return messages([msgspec.convert(document, RawChatMessage) for document in documents])


def parsed(body: bytes) -> tuple[Message, ...]:
    return messages(msgspec.json.decode(body, type=list[RawChatMessage]))


def test_roles_and_contents_are_decoded() -> None:
    assert read(
        {"role": "system", "content": "Be brief."},
        {"role": "USER", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "thinking": "Hm"},
        {"role": "user", "thinking": "Hm"},
        {"role": "user", "content": None},
    ) == (
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", "Hello", thought="Hm"),
        Message("user", ""),
        Message("user", ""),
    )


def test_unknown_role_is_refused() -> None:
    assert refusal(read, {"role": "user"}, {"role": "robot"}) == (
        "messages[1].role",
        'invalid role: "robot", must be one of ["system", "user", "assistant", "tool"]',
    )


def test_calls_get_ids_by_their_position_and_arguments_as_text() -> None:
    body = b"""[{"role":"assistant","tool_calls":[
        {"function":{"name":"weather","arguments":{"city": "Graz", "n": [null, 1]}}},
        {"id":"mine","function":{"name":"time"}},
        {"function":{"arguments":null}}]}]"""

    assert parsed(body)[0].tool_calls == (
        ToolCall("call_0_0", "weather", '{"city":"Graz","n":[null,1]}'),
        ToolCall("mine", "time", "{}"),
        ToolCall("call_0_2", "", "{}"),
    )


@pytest.mark.parametrize("arguments", [b'"{}"', b"[]", b"1", b"true", b'{"a":"\xff"}'])
def test_arguments_are_an_object(arguments: bytes) -> None:
    body = b'[{"role":"user"},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":%b}}]}]' % arguments

    field = "messages[1].tool_calls[0].function.arguments"
    assert refusal(parsed, body) == (field, f"{field}: Expected `object`")


CALLS: dict[str, object] = {
    "role": "assistant",
    "tool_calls": [
        {"function": {"name": "weather"}},
        {"function": {"name": "time"}},
        {"id": "mine", "function": {"name": "time"}},
    ],
}


@pytest.mark.parametrize(
    ("results", "ids"),
    [
        ([{}, {}, {}], ["call_0_0", "call_0_1", "mine"]),
        ([{"tool_name": "time"}, {"tool_name": "time"}, {"tool_name": "weather"}], ["call_0_1", "mine", "call_0_0"]),
        ([{"tool_call_id": "mine"}, {"tool_name": "time"}], ["mine", "call_0_1"]),
        ([{"tool_call_id": "other", "tool_name": "none"}], ["call_0_0"]),
        ([{}, {}, {}, {}, {"tool_call_id": "late"}], ["call_0_0", "call_0_1", "mine", "call_4", "late"]),
    ],
)
def test_tool_result_is_matched_to_its_call(results: list[dict[str, object]], ids: list[str]) -> None:
    decoded = read(CALLS, *({"role": "tool", "content": "x", **result} for result in results))

    assert [message.tool_call_id for message in decoded[1:]] == ids


def test_tool_result_does_not_match_calls_of_another_turn() -> None:
    decoded = read(CALLS, {"role": "assistant", "content": "No."}, {"role": "tool", "content": "x"})

    assert decoded[2] == Message("tool", "x", tool_call_id="call_2")


@pytest.mark.parametrize(
    ("data", "url"),
    [
        ("iVBORw0KGgo=", "data:image/png;base64,iVBORw0KGgo="),
        ("/9j/4AAQ", "data:image/jpeg;base64,/9j/4AAQ"),
        ("R0lGODlh", "data:image/gif;base64,R0lGODlh"),
        ("UklGRg==", "data:image/webp;base64,UklGRg=="),
        ("AAAA\r\nBBBB\n", "data:image/png;base64,AAAABBBB"),
    ],
)
def test_image_becomes_a_data_url(data: str, url: str) -> None:
    assert read({"role": "user", "content": "What?", "images": [data]}) == (Message("user", "What?", images=(url,)),)


@pytest.mark.parametrize(
    ("data", "place"), [("data:image/png;base64,AAAA", 4), ("AAA", 3), ("AAAA=", 5), ("A===", 3), ("AA==AA", 4)]
)
def test_image_that_is_not_base64_is_refused(data: str, place: int) -> None:
    message = f"images[1]: illegal base64 data at input byte {place}"

    assert refusal(images, ["AAAA", data], "images") == ("images[1]", message)


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"{}{}", b'{"a":"\xff"}', b"[" * 100_000])
def test_object_text_of_other_json_is_none(document: bytes) -> None:
    assert object_text(document) is None


@pytest.mark.parametrize(
    "fields", [{"images": ["aaaa"] * 1_025}, {"tool_calls": [{"function": {"name": "f"}}] * 1_025}]
)
def test_images_and_calls_of_all_messages_are_limited(fields: dict[str, Any]) -> None:
    one = {"role": "user", "content": "a"} | fields
    read(one)

    assert refusal(read, one, one) == ("messages", f"messages: at most 2048 {next(iter(fields))} are read")
