from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.events import FinishReason
from tokenfall.messages import ToolCall
from tokenfall.wire.dialect import ContentBlock, ParsedRequest
from tokenfall.wire.openai.response import OPENAI_CHAT
from tokenfall.wire.openai.responses.response import OPENAI_RESPONSES

from tests.unit.wire.streams import (
    BROKEN,
    FIRST_CALL,
    IDENTITY,
    SECOND_CALL,
    TEXT,
    THOUGHT,
    documents,
    frames,
    parsed_request,
)

ID = b"0123456789abcdef01234567"
USAGE = (
    b'{"input_tokens":3,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":0},'
    b'"output_tokens":5,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":8}'
)


def respond(**fields: Any) -> ParsedRequest:
    return parsed_request(OPENAI_RESPONSES, **{"input": "Hi", **fields})


def response(
    status: bytes = b"in_progress",
    *,
    output: bytes = b"",
    completed: bytes = b"null",
    why: bytes = b"null",
    usage: bytes = b"null",
) -> bytes:
    return (
        b'{"id":"resp_0123456789abcdef01234567","object":"response","created_at":1700000000,"status":"%b",'
        b'"background":false,"completed_at":%b,"error":null,"incomplete_details":%b,"instructions":null,'
        b'"max_output_tokens":null,"max_tool_calls":null,"model":"sim","output":[%b],"parallel_tool_calls":true,'
        b'"previous_response_id":null,"reasoning":{"effort":null,"summary":null},'
        b'"safety_identifier":null,"service_tier":"default","prompt_cache_key":null,'
        b'"store":true,"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},'
        b'"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","usage":%b,'
        b'"user":null,"metadata":{}}'
    ) % (status, completed, why, output, usage)


def event(kind: bytes, number: int, rest: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (kind, kind, number, rest)


BEGIN = [
    event(b"response.created", 0, b'"response":' + response()),
    event(b"response.in_progress", 1, b'"response":' + response()),
]


def part(text: bytes) -> bytes:
    return b'{"type":"output_text","annotations":[],"logprobs":[],"text":"%b"}' % text


def message(index: int, status: bytes, content: bytes) -> bytes:
    encoded = b'{"id":"msg_%b%d","type":"message","status":"%b","content":[%b],"role":"assistant"}'
    return encoded % (ID, index, status, content)


def message_events(number: int, tokens: list[bytes], *, index: int = 0, status: bytes = b"completed") -> list[bytes]:
    place = b'"item_id":"msg_%b%d","output_index":%d,"content_index":0,' % (ID, index, index)
    text = b"".join(tokens)
    encoded = [
        (
            b"response.output_item.added",
            b'"output_index":%d,"item":%b' % (index, message(index, b"in_progress", b"")),
        ),
        (b"response.content_part.added", place + b'"part":' + part(b"")),
        *((b"response.output_text.delta", place + b'"delta":"%b","logprobs":[]' % token) for token in tokens),
        (b"response.output_text.done", place + b'"text":"%b","logprobs":[]' % text),
        (b"response.content_part.done", place + b'"part":' + part(text)),
        (
            b"response.output_item.done",
            b'"output_index":%d,"item":%b' % (index, message(index, status, part(text))),
        ),
    ]
    return [event(kind, number + step, rest) for step, (kind, rest) in enumerate(encoded)]


def call(index: int, status: bytes, arguments: bytes, *, named: bytes) -> bytes:
    encoded = b'{"id":"fc_%b%d","type":"function_call","status":"%b","arguments":"%b",%b}'
    return encoded % (ID, index, status, arguments, named)


def call_events(number: int, tokens: list[bytes], *, index: int, named: bytes) -> list[bytes]:
    place = b'"item_id":"fc_%b%d","output_index":%d,' % (ID, index, index)
    arguments, name = b"".join(tokens), named.partition(b'"name":"')[2].rstrip(b'"')
    started, done = (call(index, b"in_progress", b"", named=named), call(index, b"completed", arguments, named=named))
    encoded = [
        (b"response.output_item.added", b'"output_index":%d,"item":%b' % (index, started)),
        *((b"response.function_call_arguments.delta", place + b'"delta":"%b"' % token) for token in tokens),
        (b"response.function_call_arguments.done", place + b'"name":"%b","arguments":"%b"' % (name, arguments)),
        (b"response.output_item.done", b'"output_index":%d,"item":%b' % (index, done)),
    ]
    return [event(kind, number + step, rest) for step, (kind, rest) in enumerate(encoded)]


def completed(number: int, output: bytes, *, usage: bytes = USAGE % 0) -> bytes:
    encoded = response(b"completed", output=output, completed=b"1700000002", usage=usage)
    return event(b"response.completed", number, b'"response":' + encoded)


def test_text_is_streamed_in_frames() -> None:
    assert frames(OPENAI_RESPONSES, respond(), [(TEXT, ["Hi", " \nyou"])]) == [
        *BEGIN,
        *message_events(2, [b"Hi", b" \\nyou"]),
        completed(9, message(0, b"completed", part(b"Hi \\nyou"))),
    ]


def test_reasoning_precedes_text_in_the_stream() -> None:
    place = b'"item_id":"rs_0123456789abcdef012345670","output_index":0,"summary_index":0,'
    rs = b'{"id":"rs_0123456789abcdef012345670","type":"reasoning","status":"%b","summary":[%b]}'
    thought = rs % (b"completed", b'{"type":"summary_text","text":"Hm, well"}')

    assert frames(OPENAI_RESPONSES, respond(), [(THOUGHT, ["Hm,", " well"]), (TEXT, ["Hi"])]) == [
        *BEGIN,
        event(b"response.output_item.added", 2, b'"output_index":0,"item":' + rs % (b"in_progress", b"")),
        event(b"response.reasoning_summary_part.added", 3, place + b'"part":{"type":"summary_text","text":""}'),
        event(b"response.reasoning_summary_text.delta", 4, place + b'"delta":"Hm,"'),
        event(b"response.reasoning_summary_text.delta", 5, place + b'"delta":" well"'),
        event(b"response.reasoning_summary_text.done", 6, place + b'"text":"Hm, well"'),
        event(b"response.reasoning_summary_part.done", 7, place + b'"part":{"type":"summary_text","text":"Hm, well"}'),
        event(b"response.output_item.done", 8, b'"output_index":0,"item":' + thought),
        *message_events(9, [b"Hi"], index=1),
        completed(15, thought + b"," + message(1, b"completed", part(b"Hi")), usage=USAGE % 2),
    ]


def test_text_and_two_calls() -> None:
    script = [(TEXT, ["So"]), (FIRST_CALL, ['{"a":', "1}"]), (SECOND_CALL, [])]
    look, buy = b'"call_id":"call_1","name":"look"', b'"call_id":"call_2","name":"buy"'
    first = call(1, b"completed", b'{\\"a\\":1}', named=look)
    second = call(2, b"completed", b"", named=buy)

    assert frames(OPENAI_RESPONSES, respond(), script, reason="tool_calls") == [
        *BEGIN,
        *message_events(2, [b"So"]),
        *call_events(8, [b'{\\"a\\":', b"1}"], index=1, named=look),
        *call_events(13, [], index=2, named=buy),
        completed(16, b",".join((message(0, b"completed", part(b"So")), first, second))),
    ]


@pytest.mark.parametrize(("reason", "why"), [("length", b"max_output_tokens"), ("content_filter", b"content_filter")])
def test_truncated_response_is_incomplete(reason: FinishReason, why: bytes) -> None:
    output = message(0, b"incomplete", part(b"Hi"))
    encoded = response(b"incomplete", output=output, why=b'{"reason":"%b"}' % why, usage=USAGE % 0)

    assert frames(OPENAI_RESPONSES, respond(), [(TEXT, ["Hi"])], reason=reason) == [
        *BEGIN,
        *message_events(2, [b"Hi"], status=b"incomplete"),
        event(b"response.incomplete", 8, b'"response":' + encoded),
    ]


def test_only_the_last_item_is_incomplete() -> None:
    *_, last = documents(frames(OPENAI_RESPONSES, respond(), [(THOUGHT, ["Hm"]), (TEXT, ["Hi"])], reason="length"))

    assert [item["status"] for item in last["response"]["output"]] == ["completed", "incomplete"]


def test_empty_response_is_an_empty_message() -> None:
    assert frames(OPENAI_RESPONSES, respond(), [], usage=None) == [
        *BEGIN,
        *message_events(2, []),
        completed(7, message(0, b"completed", part(b"")), usage=b"null"),
    ]


def test_numbered_frames_have_no_frame_template() -> None:
    encoder = OPENAI_RESPONSES.encoder(respond(), IDENTITY)
    encoder.open(TEXT)

    assert encoder.frame_template() is None
    assert encoder.token("a").replace(b'_number":4', b'_number":5') == encoder.token("a")


@given(st.text(), st.sampled_from([TEXT, THOUGHT, FIRST_CALL]))
def test_any_text_round_trips_in_its_frame(text: str, block: Any) -> None:
    encoded = documents(frames(OPENAI_RESPONSES, respond(), [(block, [text])]))

    assert [each["sequence_number"] for each in encoded] == list(range(len(encoded)))
    assert [each["delta"] for each in encoded if "delta" in each] == [text]
    assert text in [each.get("text", each.get("arguments")) for each in encoded]


def test_custom_call_has_an_input() -> None:
    call = ToolCall("c", "run", "", custom=True)
    encoded = b"".join(frames(OPENAI_RESPONSES, respond(), [(ContentBlock("call", call=call), ["a", "b"])]))

    assert encoded.count(b"event: response.custom_tool_call_input.delta\n") == 2
    assert b'"input":"ab"' in encoded
    assert b"function_call" not in encoded


def test_error_frame_has_the_next_sequence_number() -> None:
    encoder = OPENAI_RESPONSES.encoder(respond(), IDENTITY)
    encoder.open(TEXT)
    token = encoder.token("a")

    assert OPENAI_RESPONSES.frame_count(encoder) == 5
    assert OPENAI_RESPONSES.frame_number(token) == 4
    assert OPENAI_RESPONSES.frame_number(b"") == OPENAI_CHAT.frame_number(token) == 0
    assert b'"sequence_number":5,' in OPENAI_RESPONSES.error_frame(BROKEN, 5)
    of_chat = OPENAI_CHAT.encoder(parsed_request(OPENAI_CHAT, messages=[{"role": "user", "content": "x"}]), IDENTITY)
    assert OPENAI_RESPONSES.frame_count(of_chat) == OPENAI_CHAT.frame_count(of_chat) == 0
