from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from tokenfall.errors import UpstreamMalformed, UpstreamStreamError
from tokenfall.events import Finished, PassthroughEvent
from tokenfall.wire.sse_decoder import MAX_EVENT_BYTES
from tokenfall.wire.upstream.reader import PassthroughReader

from tests.doubles.pieces import Cut, one_by_one, whole

DONE = b"data: [DONE]\n\n"

# Unchanged events


def relayed(pieces: Iterable[bytes], reader: PassthroughReader | None = None) -> list[PassthroughEvent | Finished]:
    reader = reader or PassthroughReader(lambda _: False)
    events: list[PassthroughEvent | Finished] = []
    for each in pieces:
        events += reader.feed(each)
        if reader.broken is not None:
            break
    return events


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_events_are_forwarded_up_to_the_end(feed: Cut) -> None:
    stream = b"event: x\nid: 7\ndata: junk\n\n: ping\n\n" + DONE

    assert relayed(feed(stream)) == [PassthroughEvent(b"junk"), PassthroughEvent(b"[DONE]"), Finished("stop", "")]


@pytest.mark.parametrize("end", [b"data:  [DONE]\n\n", b"data: [DONE] \n\n"])
def test_spaces_around_done_are_ignored(end: bytes) -> None:
    assert relayed([b"data: 1\n\n", end])[1:] == [PassthroughEvent(b"[DONE]"), Finished("stop", "")]


@pytest.mark.parametrize("payload", [b'{"choices":[{"delta":{"content":"\xff"}}]}', b"\xff", b'["\xff"]'])
def test_invalid_utf8_is_replaced(payload: bytes) -> None:
    (event,) = relayed([b"data: %b\n\n" % payload])

    assert isinstance(event, PassthroughEvent)
    assert event.data == payload.replace(b"\xff", "\ufffd".encode())


def test_events_after_the_end_are_not_forwarded() -> None:
    assert relayed([b"data: 1\n\n" + DONE + b"data: 2\n\n"])[-1] == Finished("stop", "")


def test_event_of_many_data_lines_is_forwarded_in_one_line() -> None:
    assert relayed([b'data: {"a":\r\ndata: 1}\r\n\r\n']) == [PassthroughEvent(b'{"a": 1}')]


def test_incomplete_event_is_not_forwarded() -> None:
    reader = PassthroughReader(lambda _: False)

    assert relayed([b"data: 1\n\ndata: " + b"x" * (MAX_EVENT_BYTES + 1)], reader) in ([], [PassthroughEvent(b"1")])
    assert isinstance(reader.broken, UpstreamMalformed)


@pytest.mark.parametrize("error", ['{"message":"out of memory"}', '"out of memory"'])
@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_error_that_does_not_end_the_stream_breaks_it(feed: Cut, error: str) -> None:
    reader = PassthroughReader(lambda _: False)
    stream = b'data: 1\n\ndata: {"error":%b}\n\n' % error.encode() + DONE

    assert relayed(feed(stream), reader)[:1] == [PassthroughEvent(b"1")]
    assert isinstance(reader.broken, UpstreamStreamError)
    assert reader.broken.message == "the upstream's stream failed: out of memory"


@pytest.mark.parametrize(
    "payload", [b'{"error":null}', b'{"delta":"error"}', b'{"a":{"error":1}}', b'["error"]', b'"error"!']
)
def test_event_that_only_mentions_an_error_is_forwarded(payload: bytes) -> None:
    assert relayed([b"data: %b\n\n" % payload]) == [PassthroughEvent(payload)]


def test_error_whose_type_ends_the_stream_is_forwarded() -> None:
    reader = PassthroughReader(lambda _: True)

    assert relayed([b'data: {"type":"error","error":1}\n\n'], reader) == [
        PassthroughEvent(b'{"type":"error","error":1}', type="error"),
        Finished("stop", ""),
    ]
    assert relayed([b"data: [DONE]\n\n"], PassthroughReader(lambda _: True))[1:] == [Finished("stop", "")]


def is_token(payload: bytes) -> bool:
    """Whether the event of `payload` is a token; asserts that standard and lenient decoding agree."""
    event = relayed([b"data: %b\n\n" % payload])[0]
    assert isinstance(event, PassthroughEvent)
    assert event.data == payload
    return event.is_token


CHOICES = [
    ('{"delta":{"role":"assistant","content":""}}', 0),
    ('{"delta":{"content":"a"},"finish_reason":null}', 1),
    ('{"delta": {"content": "\\n"}}', 1),
    ('{"delta": {"content": "é"}}', 2),
    ('{"delta":{"content":null,"reasoning":"hm"}}', 2),
    ('{"delta":{"reasoning_content":"hm"}}', 2),
    ('{"delta":{"reasoning_details":[{"text":"hm"}]}}', 2),
    ('{"delta":{"thinking":"hm"}}', 2),
    ('{"delta":{"refusal":"no"}}', 2),
    ('{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}', 1),
    ('{"delta":{"tool_calls":[{"function":{"arguments":{}}}]}}', 2),
    ('{"delta":{"tool_calls":[{"function":{"name":"","arguments":""}}]}}', 0),
    ('{"delta":{"tool_calls":[{"index":0}]}}', 0),
    ('{"delta":{"content":[{"type":"text","text":"a"}]}}', 1),
    ('{"delta":{"content":[]}}', 0),
    ('{"delta":{"content":"\\ud83d"}}', 1),
    ('{"message":{"content":"a"}}', 1),
    ('{"text":"a"}', 1),
    ('{"text":"a","delta":{"content":"a"}}', 1),
    ('{"text":"a","delta":{"content":""}}', 1),
    ('{"delta":{"content":"a","extra_content":{"google":{"thought":true}}}}', 1),
    ('{"text":""}', 0),
    ('{"delta":{},"finish_reason":"stop"}', 0),
    ('{"delta":null}', 0),
    ('{"delta":{"tool_calls":[{"function":{"arguments":{"a":NaN}}}]}}', 0),
    ("7", 0),
]


@pytest.mark.parametrize(("choice", "text_bytes"), CHOICES, ids=lambda value: repr(value)[:60])
def test_chunk_with_output_is_a_token(choice: str, text_bytes: int) -> None:
    payload = f'{{"id":"a","choices":[{choice}],"usage":null}}'.encode()

    assert is_token(payload) == (text_bytes > 0)
    assert relayed([b"data: %b\n\n" % payload])[0] == PassthroughEvent(payload, text_bytes > 0, "", text_bytes)


def test_tool_name_is_a_token_of_zero_bytes() -> None:
    payload = b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":""}}]}}]}'

    assert relayed([b"data: %b\n\n" % payload]) == [PassthroughEvent(payload, is_token=True)]


def test_output_of_all_choices_is_counted() -> None:
    payload = b'{"choices":[{"delta":{"content":""}},{"index":1,"delta":{"content":"abc"}}]}'

    assert relayed([b"data: %b\n\n" % payload]) == [PassthroughEvent(payload, is_token=True, text_bytes=3)]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"choices":[],"usage":{"completion_tokens":5}}',
        b"{}",
        b"[1]",
        b"7",
        b"junk",
        b'{"choices":7}',
        b'{"type":7}',
        b'{"type":"response.created","response":{"error":null}}',
        b'{"type":"response.output_text.done","text":"a"}',
        b'{"type":"response.output_text.delta","delta":""}',
        b'{"type":"a.delta"}',
        b'{"delta":"a"}',
        b"[" * 10000,
        b'{"type":"response.x.delta","delta":{}}',
        b'{"type":"\xc3\xa9.delta","delta":null,"detail":[]}',
    ],
    ids=lambda value: repr(value)[:60],
)
def test_other_events_are_not_tokens(payload: bytes) -> None:
    assert not is_token(payload)


@pytest.mark.parametrize("kind", ["output_text", "refusal", "reasoning_text", "function_call_arguments"])
@pytest.mark.parametrize(("delta", "text_bytes"), [('"ab"', 2), ("7", 1), ('"\\ud83d"', 1)])
def test_deltas_of_the_responses_api_are_tokens(kind: str, delta: str, text_bytes: int) -> None:
    payload = f'{{"type":"response.{kind}.delta","delta":{delta}}}'.encode()

    assert relayed([b"data: %b\n\n" % payload]) == [
        PassthroughEvent(payload, True, f"response.{kind}.delta", text_bytes)
    ]


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize("kind", ["response.completed", "response.failed"])
@pytest.mark.parametrize("more", ["", ',"detail":"x"'])
def test_event_type_that_ends_the_stream_is_followed_by_finished(feed: Cut, kind: str, more: str) -> None:
    payload = f'{{"type":"{kind}"{more}}}'.encode()
    reader = PassthroughReader(lambda event_type: event_type == kind)

    assert relayed(feed(b"data: 1\n\ndata: %b\n\ndata: 2\n\n" % payload), reader)[:3] == [
        PassthroughEvent(b"1"),
        PassthroughEvent(payload, type=kind),
        Finished("stop", ""),
    ]


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_events_without_data_are_not_forwarded(feed: Cut) -> None:
    assert relayed(feed(b"data:\n\ndata: 1\n\ndata: \n\n")) == [PassthroughEvent(b"1")]


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b"event: error\ndata: busy\n\n", ": busy"),
        (b"event: error\ndata:\n\n", ""),
        (b'event: error\ndata: {"message":"busy"}\n\n', ": busy"),
        (b'event: error\ndata: {"choices":[]}\n\n', ""),
        (b'data: {"object":"error","message":"busy"}\n\n', ": busy"),
        (b'data: {"type":"error","message":"busy"}\n\n', ": busy"),
        (b'data: {"error_message":"busy"}\n\n', ": busy"),
        (b'data: {"detail":"busy"}\n\n', ": busy"),
        (b'data: {"message":"busy","code":1}\n\n', ": busy"),
        (b'data: {"msg":"busy","code":1}\n\n', ": busy"),
        (b'data: {"fault":{"faultstring":"busy"}}\n\n', ": busy"),
        (b'data: {"choices":[{"error":"busy"}]}\n\n', ": busy"),
        (b'{"error":{"message":"busy"}}', ": busy"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_error_in_any_form_breaks_the_stream(feed: Cut, stream: bytes, words: str) -> None:
    reader = PassthroughReader(lambda _: False)

    assert relayed(feed(b"data: 1\n\n" + stream + DONE), reader) == [PassthroughEvent(b"1")]
    assert isinstance(reader.broken, UpstreamStreamError)
    assert reader.broken.message == f"the upstream's stream failed{words}"


def test_complete_response_instead_of_a_stream_raises_malformed() -> None:
    for document in (b'{"choices":[{"message":{"content":"Hi"}}]}', b'{"a":"\xff"}'):
        reader = PassthroughReader(lambda _: False)
        relayed([document], reader)
        assert isinstance(reader.broken, UpstreamMalformed)


@pytest.mark.parametrize(
    ("payload", "number"),
    [
        (b'{"type":"response.x","sequence_number":7}', 7),
        (b'{"type":"response.x","sequence_number":"7","detail":[]}', 7),
        (b'{"type":"response.x","sequence_number":null,"detail":[]}', -1),
        (b'{"type":"response.x"}', -1),
    ],
)
def test_sequence_number_is_read(payload: bytes, number: int) -> None:
    assert relayed([b"data: %b\n\n" % payload]) == [PassthroughEvent(payload, type="response.x", number=number)]


# One event in one read


@pytest.mark.parametrize(
    ("payload", "is_sent_as_it_came"),
    [
        (b'{"choices":[{"delta":{"content":"abc"}}]}', True),
        (b'{"choices":[{"delta":{"role":"assistant"}}]}', True),
        (b'{"object":"text_completion","choices":[{"text":"a"}]}', True),
        (b'{"choices":[]}', False),
        (b'{"choices":[{"delta":{"content":["a"]}}]}', False),
        (b'{"type":"response.output_text.delta","delta":"a","choices":[{}]}', False),
        (b"junk", False),
    ],
)
def test_event_that_is_one_read_is_the_same_event(payload: bytes, is_sent_as_it_came: bool) -> None:
    data = b"data: %b\n\n" % payload
    reader = PassthroughReader(lambda _: False)
    reader.feed(b"data: 1\n\n")
    (event,) = reader.feed(data)

    assert isinstance(event, PassthroughEvent)
    assert event.frame == (data if is_sent_as_it_came else b"")
    assert [replace(event, frame=b"")] == relayed([data])


def test_error_that_is_one_read_breaks_the_stream() -> None:
    reader = PassthroughReader(lambda _: False)

    assert relayed([b"data: 1\n\n", b'data: {"object":"error","choices":[{}]}\n\n'], reader) == [PassthroughEvent(b"1")]
    assert isinstance(reader.broken, UpstreamStreamError)
