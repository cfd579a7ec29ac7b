import json
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tokenfall.conversations import ConversationInfo, Turn, Variant
from tokenfall.errors import InvalidRequest, NotFound
from tokenfall.events import Finished, Usage
from tokenfall.messages import Message
from tokenfall.wire.plain import chat as plain
from tokenfall.wire.plain import stream as plain_stream
from tokenfall.wire.sse_decoder import SSEDecoder

ASKED = {"role": "user", "content": "Hi"}


def body(**fields: object) -> bytes:
    return json.dumps({"messages": [ASKED], **fields}).encode()


# What POST /chat takes


def test_messages_are_sufficient() -> None:
    chat = plain.decode_chat(body())

    assert chat.question == Message("user", "Hi")
    assert (chat.stream, chat.conversation) == (True, "default")
    assert (chat.model, chat.max_tokens, chat.temperature) == (None, None, None)


def test_all_fields_are_decoded() -> None:
    chat = plain.decode_chat(
        body(stream=False, conversation="a.B_9:@-", model="m", max_tokens=7, temperature=0.5, top_p=1)
    )

    assert (chat.stream, chat.conversation, chat.model) == (False, "a.B_9:@-", "m")
    assert (chat.max_tokens, chat.temperature) == (7, 0.5)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("messages", [ASKED] * 2_048, [ASKED] * 2_049),
        ("messages", [ASKED], []),
        ("messages", [ASKED], [{"role": "tool", "content": "x"}]),
        ("messages", [ASKED], [{"role": "user"}]),
        ("messages", [ASKED], [{"role": "user", "content": 7}]),
        ("messages", [ASKED], "Hi"),
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
        ("details", True, "true"),
    ],
)
def test_each_field_has_its_bounds(field: str, good: object, bad: object) -> None:
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
    said = [ASKED, {"role": "user", "content": "new"}, {"role": "assistant", "content": "old"}]

    assert plain.decode_chat(body(messages=said)).question == Message("user", "new")


@pytest.mark.parametrize(
    "said",
    [
        [{"role": "user", "content": " \t\n"}],
        [ASKED, {"role": "user", "content": ""}],
        [{"role": "system", "content": "x"}, {"role": "assistant", "content": "x"}],
    ],
)
def test_a_chat_without_a_question_is_refused(said: list[dict[str, str]]) -> None:
    with pytest.raises(InvalidRequest, match="new turn"):
        plain.decode_chat(body(messages=said))


def test_only_a_leading_system_message_is_the_system_message() -> None:
    system = {"role": "system", "content": "Be brief."}

    assert plain.decode_chat(body(messages=[system, ASKED])).system == Message("system", "Be brief.")
    assert plain.decode_chat(body(messages=[ASKED, system])).system is None


@pytest.mark.parametrize("name", ["a", "A-z.0_9:@", "x" * 64])
def test_valid_conversation_id_is_accepted(name: str) -> None:
    assert plain.conversation_id(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "a\0", "é", "a\r\nset-cookie: b"])
def test_invalid_conversation_id_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="conversation"):
        plain.conversation_id(name)


def test_line_break_after_a_conversation_id_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="conversation"):
        plain.conversation_id("abc\n")
    with pytest.raises(InvalidRequest, match="conversation"):
        plain.decode_chat(body(conversation="abc\n"))


# Frames, byte for byte


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


def test_error_frame_of_an_sse_stream() -> None:
    frame = plain_stream.error_frame("upstream_timeout", "too\nlate")

    assert frame == b'event: error\ndata: {"error":{"code":"upstream_timeout","message":"too\\nlate"}}\n\n'


def test_error_line_of_an_ndjson_stream() -> None:
    assert plain_stream.error_line("shutting_down", "bye") == b'{"error":"bye","code":"shutting_down"}\n'


def test_token_document_of_the_plain_streams() -> None:
    assert plain_stream.token_document("Large ") == b'{"content":"Large ","finish":false}'
    assert plain_stream.token_document("", finish=True) == b'{"content":"","finish":true}'


# Documents, byte for byte


@pytest.mark.parametrize(
    ("usage", "shown"),
    [(None, b"null"), (Usage(3, 4), b'{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}')],
)
def test_complete_response(usage: Usage | None, shown: bytes) -> None:
    document = b"".join(plain.complete_response("Hi\n", Finished("stop", "m", usage), conversation="c"))

    expected = b'{"content":"Hi\\n","finish_reason":"stop","usage":%b,"model":"m","conversation":"c"}'
    assert document == expected % shown


TURN = Turn(
    id="t1",
    question=Message("user", "Why?"),
    answer=Message("assistant", "So."),
    status="complete",
    model="m",
    asked_at=1.5,
    answered_at=2.5,
)


def test_history_of_a_complete_turn() -> None:
    document = b"".join(plain.history([replace(TURN, finish_reason="length", usage=Usage(1, 2))]))

    assert document == (
        b'[{"role":"user","content":"Why?","turn":"t1","created":1.5},'
        b'{"role":"assistant","content":"So.","turn":"t1","created":2.5,"model":"m","finish_reason":"length",'
        b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}]'
    )


def test_history_has_ttft_and_tokens_per_second() -> None:
    _, answer = json.loads(b"".join(plain.history([replace(TURN, ttft_s=0.25, tokens_per_s=12.5, replaces="t0")])))

    assert (answer["ttft_s"], answer["tokens_per_s"]) == (0.25, 12.5)
    assert "replaces" not in answer


def test_history_has_the_code_of_an_interruption() -> None:
    _, answer = json.loads(b"".join(plain.history([replace(TURN, status="interrupted", end_code="stopped")])))

    assert (answer["status"], answer["end_code"]) == ("interrupted", "stopped")


def test_stored_turn_without_end_code_is_read() -> None:
    document = msgspec.json.encode(TURN)
    old = document.replace(b',"end_code":""', b"")

    assert old != document
    assert msgspec.json.decode(old, type=Turn) == TURN


def test_the_history_of_an_interrupted_turn() -> None:
    document = b"".join(plain.history([replace(TURN, status="interrupted")]))

    assert document == (
        b'[{"role":"user","content":"Why?","turn":"t1","created":1.5},'
        b'{"role":"assistant","content":"So.","turn":"t1","created":2.5,"model":"m","status":"interrupted"}]'
    )


def test_the_history_has_variants_on_request() -> None:
    variants = (
        Variant(content="No.", status="interrupted", model="m", answered_at=0.5, end_code="stopped"),
        Variant(content="Yes.", status="complete", model="n", answered_at=1.0, finish_reason="length"),
    )
    turn = replace(TURN, variants=variants)
    _, answer = json.loads(b"".join(plain.history([turn], variants=True)))

    assert answer["variants"] == [
        {"content": "No.", "created": 0.5, "model": "m", "status": "interrupted", "end_code": "stopped"},
        {"content": "Yes.", "created": 1.0, "model": "n", "finish_reason": "length"},
    ]
    assert b"variants" not in b"".join([*plain.history([turn]), *plain.history([TURN], variants=True)])


def test_the_history_is_oldest_first_and_may_be_empty() -> None:
    both = json.loads(b"".join(plain.history([TURN, replace(TURN, id="t2")])))

    assert [message["turn"] for message in both] == ["t1", "t1", "t2", "t2"]
    assert b"".join(plain.history([])) == b"[]"


def test_the_list_of_conversations() -> None:
    listed = b"".join(
        plain.conversation_list([ConversationInfo("b", 2.5, 4, "Why?", pinned=True), ConversationInfo("a", 1.0, 2)])
    )

    assert listed == (
        b'[{"id":"b","last_activity":2.5,"messages":4,"title":"Why?","pinned":true},'
        b'{"id":"a","last_activity":1.0,"messages":2,"title":"","pinned":false}]'
    )


def test_error_frame_may_have_more_members() -> None:
    frame = plain_stream.error_frame("shutting_down", "bye", turn="turn_1", resumable=False)

    assert frame == (
        b'event: error\ndata: {"error":{"code":"shutting_down","message":"bye","turn":"turn_1","resumable":false}}\n\n'
    )


@pytest.mark.parametrize("choice", ["cancel", "finish", None])
def test_on_disconnect_is_decoded(choice: str | None) -> None:
    assert plain.decode_chat(body(on_disconnect=choice)).on_disconnect == choice


@pytest.mark.parametrize("choice", ["Cancel", "", True, 1])
def test_unknown_on_disconnect_is_refused(choice: object) -> None:
    with pytest.raises(InvalidRequest, match="on_disconnect"):
        plain.decode_chat(body(on_disconnect=choice))


@pytest.mark.parametrize("title", ["a", "é" * 200, "a\nb"])
def test_a_title(title: str) -> None:
    assert plain.decode_conversation(json.dumps({"title": title}).encode()) == plain.ConversationBody(title=title)


def test_a_conversation_is_renamed_and_pinned_at_once() -> None:
    change = plain.decode_conversation(b'{"pinned":false,"title":"a"}')

    assert change == plain.ConversationBody(title="a", pinned=False)


@pytest.mark.parametrize(
    "document",
    [
        *(
            b"",
            b"{}",
            b"[]",
            b'{"title":""}',
            b'{"title":null}',
            b'{"title":"a","x":1}',
            b'{"title":"\xff"}',
            b'{"pinned":1}',
        ),
        b"[" * 99_999,
        json.dumps({"title": "a" * 201}).encode(),
    ],
    ids=lambda document: repr(document[:20]),
)
def test_invalid_title_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidRequest, match="1 to 200 characters"):
        plain.decode_conversation(document)


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


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ((), (100, None, ())),
        ((("limit", "1"),), (1, None, ())),
        ((("limit", "1000"), ("after", "a:1")), (1_000, "a:1", ())),
        ((("search", " Blue\tsky "),), (100, None, ("Blue", "sky"))),
        ((("search", "é" * 200),), (100, None, ("é" * 200,))),
    ],
)
def test_list_query_is_decoded(
    query: Sequence[tuple[str, str]], asked: tuple[int, str | None, tuple[str, ...]]
) -> None:
    assert msgspec.structs.astuple(plain.page(query)) == asked


@pytest.mark.parametrize(
    "query",
    [
        (("limit", "0"),),
        (("limit", "1001"),),
        (("limit", "99999"),),
        (("limit", "-1"),),
        (("limit", "٣"),),
        (("limit", ""),),
        (("after", ""),),
        (("after", "a b"),),
        (("limit", "1"), ("limit", "2")),
        (("before", "a"),),
        (("search", "a"), ("search", "b")),
    ],
)
def test_invalid_query_is_refused(query: Sequence[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest):
        plain.page(query)


@pytest.mark.parametrize("search", ["", " \t", "a" * 201, "a " * 17])
def test_invalid_search_is_refused_with_its_limits(search: str) -> None:
    with pytest.raises(InvalidRequest, match="search takes 1 to 16 words of 200 characters in all"):
        plain.page((("search", search),))
