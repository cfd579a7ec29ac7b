import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.conversations import Turn
from tokenfall.errors import InvalidRequest, NotFound
from tokenfall.events import Finished, Usage
from tokenfall.messages import Message
from tokenfall.wire.plain import chat as plain
from tokenfall.wire.plain import stream as plain_stream
from tokenfall.wire.sse_decoder import SSEDecoder

from tests.unit.wire.plain.samples import TURN, USER, body


def test_messages_are_sufficient() -> None:
    chat = plain.decode_chat(body())

    assert chat.question == Message("user", "Hi")
    assert (chat.stream, chat.conversation) == (True, "default")
    assert (chat.model, chat.max_tokens, chat.temperature) == (None, None, None)


def test_all_fields_are_decoded() -> None:
    chat = plain.decode_chat(
        body(stream=False, conversation="a.B_9:@-", model="m", max_tokens=7, temperature=0.5, on_disconnect="finish")
    )

    assert (chat.stream, chat.conversation, chat.model) == (False, "a.B_9:@-", "m")
    assert (chat.max_tokens, chat.temperature, chat.on_disconnect) == (7, 0.5, "finish")


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("messages", [USER] * 2_048, [USER] * 2_049),
        ("messages", [USER], []),
        ("messages", [USER], [{"role": "tool", "content": "x"}]),
        ("messages", [USER], [{"role": "user"}]),
        ("messages", [USER], [{"role": "user", "content": 7}]),
        ("messages", [USER], "Hi"),
        ("stream", False, "false"),
        ("conversation", "c" * 64, "c" * 65),
        ("conversation", "c", ""),
        ("conversation", "c", "a b"),
        ("conversation", "c", "a/b"),
        ("conversation", "c", "é"),
        ("model", "m" * 200, "m" * 201),
        ("model", "m", ""),
        ("max_tokens", 1, 0),
        ("max_tokens", 1_000_000, 1_000_001),
        ("max_tokens", None, 1.5),
        ("temperature", 0, -0.1),
        ("temperature", 2, 2.1),
        ("replaces", "turn_" + "0a" * 12, "turn_" + "0A" * 12),
        ("replaces", None, "turn_1"),
        ("continues", "turn_" + "0a" * 12, "turn_1"),
        ("after", "turn_" + "0a" * 12, "turn_1"),
        ("after", "", "t"),
        ("announce", True, 1),
        ("on_disconnect", "cancel", "Cancel"),
        ("on_disconnect", "finish", ""),
        ("on_disconnect", None, 1),
        ("details", True, "true"),
    ],
)
def test_field_out_of_bounds_is_refused(field: str, good: object, bad: object) -> None:
    plain.decode_chat(body(**{field: good}))
    with pytest.raises(InvalidRequest, match=field):
        plain.decode_chat(body(**{field: bad}))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"messages":',
        b'{"messages":[{"role":"user","content":"\xff"}]}',
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"messages":[{"role":"user","content":"\\udc00 x"}]}',
        b'{"messages":[{"role":"user","content":"Hi"}],"model":"\\udc00"}',
        b'{"messages":[{"role":"user","content":"Hi"}],"temperature":NaN}',
        b'{"messages":[{"role":"user","content":"Hi"}],"temperature":1e999}',
        b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":' + b"9" * 5_000 + b"}",
        b'{"messages":' + b"[" * 10_000,
        b'{"x":' + b"[" * 10_000,
        '{"messages":[]}'.encode("utf-16"),
    ],
    ids=lambda sent: repr(sent[:60]),
)
def test_invalid_chat_body_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidRequest):
        plain.decode_chat(sent)


def test_turn_with_replaces_and_continues_is_refused() -> None:
    turn = "turn_" + "0a" * 12
    with pytest.raises(InvalidRequest, match="replaces or continues"):
        plain.decode_chat(body(replaces=turn, continues=turn))


def test_nul_in_a_message_is_accepted() -> None:
    assert plain.decode_chat(body(messages=[{"role": "user", "content": "a\0b"}])).question.content == "a\0b"


def test_question_is_the_last_user_message() -> None:
    messages = [USER, {"role": "user", "content": "new"}, {"role": "assistant", "content": "old"}]

    assert plain.decode_chat(body(messages=messages)).question == Message("user", "new")


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": " \t\n"}],
        [USER, {"role": "user", "content": ""}],
        [{"role": "system", "content": "x"}, {"role": "assistant", "content": "x"}],
    ],
)
def test_chat_without_a_user_message_is_refused(messages: list[dict[str, str]]) -> None:
    with pytest.raises(InvalidRequest, match="new turn"):
        plain.decode_chat(body(messages=messages))


def test_system_message_is_used_only_if_it_is_the_first() -> None:
    system = {"role": "system", "content": "Be brief."}

    assert plain.decode_chat(body(messages=[system, USER])).system == Message("system", "Be brief.")
    assert plain.decode_chat(body(messages=[USER, system])).system is None


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("Hello", b'data: {"content":"Hello"}\n\n'),
        ("", b'data: {"content":""}\n\n'),
        (' "quoted"\\', b'data: {"content":" \\"quoted\\"\\\\"}\n\n'),
        ("a\r\n\tb\0", b'data: {"content":"a\\r\\n\\tb\\u0000"}\n\n'),
        ("é😀", 'data: {"content":"é😀"}\n\n'.encode()),
        ("data: x\n\nevent: y", b'data: {"content":"data: x\\n\\nevent: y"}\n\n'),
    ],
)
def test_content_frame_has_id_and_data(text: str, frame: bytes) -> None:
    assert plain.content_frame(7, text) == b"id: 7\n" + frame


@given(st.lists(st.text()))
def test_any_token_round_trips_in_its_frame(texts: list[str]) -> None:
    stream = b"".join(plain.content_frame(number, text) for number, text in enumerate(texts, 1))

    assert [json.loads(event.data)["content"] for event in SSEDecoder().feed(stream)] == texts


def test_error_frames_of_plain_streams() -> None:
    frame = plain_stream.error_frame("turn_lost", "too\nlate", turn="t1", resumable=False)

    assert frame == (
        b'event: error\ndata: {"error":{"code":"turn_lost","message":"too\\nlate","turn":"t1","resumable":false}}\n\n'
    )
    assert plain_stream.error_line("shutting_down", "bye") == b'{"error":"bye","code":"shutting_down"}\n'


def test_token_document_of_the_plain_streams() -> None:
    assert plain_stream.token_document("Large ") == b'{"content":"Large ","finish":false}'
    assert plain_stream.token_document("", finish=True) == b'{"content":"","finish":true}'


@pytest.mark.parametrize(
    ("usage", "shown"),
    [(None, b"null"), (Usage(3, 4), b'{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}')],
)
def test_complete_response(usage: Usage | None, shown: bytes) -> None:
    document = b"".join(plain.complete_response("Hi\n", Finished("stop", "m", usage), conversation="c"))

    expected = b'{"content":"Hi\\n","finish_reason":"stop","usage":%b,"model":"m","conversation":"c"}'
    assert document == expected % shown


def test_stored_turn_without_end_code_is_read() -> None:
    document = msgspec.json.encode(TURN)
    old = document.replace(b',"end_code":""', b"")

    assert old != document
    assert msgspec.json.decode(old, type=Turn) == TURN


def test_valid_turn_id_is_accepted() -> None:
    text = "turn_0123456789abcdef01234567"

    assert plain.turn_id(text) == text


@pytest.mark.parametrize("text", ["", "turn_", "turn_" + "0" * 23, "turn_" + "0" * 25, "turn_" + "F" * 24, "x" * 29])
def test_invalid_turn_id_raises_not_found(text: str) -> None:
    for odd in (text, text + "\n"):
        with pytest.raises(NotFound):
            plain.turn_id(odd)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("9" * 12, 999_999_999_999)])
def test_valid_last_event_id_is_accepted(text: str, number: int) -> None:
    assert plain.event_number(text) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "²", "١", "9" * 13, "1_0", "\n"])
def test_invalid_last_event_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Last-Event-ID takes"):
        plain.event_number(text)


def test_digest_is_of_all_fields_but_after() -> None:
    first = plain.decode_chat(body())

    assert plain.decode_chat(body(after="turn_" + "0" * 24)).digest_bytes() == first.digest_bytes()
    assert plain.decode_chat(body(max_tokens=3)).digest_bytes() != first.digest_bytes()


def test_reasoning_frame_has_no_id() -> None:
    assert plain.reasoning_frame("a\u2028b") == b'event: reasoning\ndata: {"content":"a\\u2028b"}\n\n'


def test_end_frame_has_reason_usage_and_model() -> None:
    assert b'"finish_reason":"refusal"' in plain.end_frame(Finished("content_filter", "m", refused=True))
    assert plain.end_frame(Finished("length", "m", Usage(1, 2))) == (
        b'event: end\ndata: {"finish_reason":"length","usage":{"prompt_tokens":1,"completion_tokens":2,'
        b'"total_tokens":3},"model":"m"}\n\n'
    )


# Context


def test_context_body_takes_the_default_conversation_and_no_system_prompt() -> None:
    assert plain.decode_context(b"{}") == plain.ContextBody("default", None)
    assert plain.decode_context(b'{"conversation":"a","system":"Rhyme."}') == plain.ContextBody("a", "Rhyme.")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "not valid for POST /chat/context"),
        (b"[]", "Expected `object`"),
        (b'{"conversation":"a b"}', "conversation"),
        (b'{"system":1}', "system"),
        (b'{"question":"?"}', "question"),
        (b'{"system":"\xff"}', "not valid for POST /chat/context"),
        (b'{"system":' + b"[" * 100_000, "not valid for POST /chat/context|nested too deeply"),
    ],
)
def test_invalid_context_body_is_refused(body: bytes, expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected):
        plain.decode_context(body)
