import pytest
from msgspec.structs import replace

from tokenfall.errors import UpstreamMalformed, UpstreamStreamError
from tokenfall.events import Finished, PassthroughEvent
from tokenfall.wire.sse_decoder import MAX_EVENT_BYTES
from tokenfall.wire.upstream.reader import PassthroughReader

from tests.doubles.pieces import Cut, one_by_one, whole

DONE = b"data: [DONE]\n\n"

Passed = PassthroughEvent | Finished | tuple[type, str]
ONE, END = PassthroughEvent(b"1"), Finished("stop", "")


def relayed(stream: bytes, cut: Cut = whole, *, end: str = "") -> list[Passed]:
    """The events up to the end; type and message of the error that broke the stream, if one did.

    An event whose type is `end` ends the stream.
    """
    reader = PassthroughReader(lambda kind: kind == end)
    events: list[Passed] = []
    for data in cut(stream):
        events += reader.feed(data)
        if reader.broken is not None:
            return [*events, (type(reader.broken), reader.broken.message)]
        if END in events:
            break
    return events


def failed(message: str) -> tuple[type, str]:
    return UpstreamStreamError, f"the upstream's stream failed{message}"


MALFORMED = (UpstreamMalformed, "the upstream sent an event that is not a valid chunk")


# Unchanged events


@pytest.mark.parametrize("cut", [whole, one_by_one])
@pytest.mark.parametrize("end", [DONE, b"data:  [DONE]\n\n", b"data: [DONE] \n\n"])
@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"event: x\nid: 7\ndata: junk\n\n: ping\n\n", [PassthroughEvent(b"junk")]),
        (b'data: {"a":\r\ndata: 1}\r\n\r\n', [PassthroughEvent(b'{"a": 1}')]),
        (b"data:\n\ndata: \n\n", []),
        (
            b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n',
            [PassthroughEvent('{"choices":[{"delta":{"content":"\ufffd"}}]}'.encode(), is_token=True, text_bytes=3)],
        ),
        *(
            (b"data: %b\n\n" % payload, [PassthroughEvent(payload.replace(b"\xff", "\ufffd".encode()))])
            for payload in (b"\xff", b'["\xff"]', b'{"a":"\xff"}')
        ),
        *(
            (b"data: %b\n\n" % payload, [PassthroughEvent(payload)])
            for payload in (b'{"error":null}', b'{"delta":"error"}', b'{"a":{"error":1}}', b'["error"]', b'"error"!')
        ),
    ],
)
def test_events_are_forwarded_up_to_the_end(cut: Cut, stream: bytes, events: list[Passed], end: bytes) -> None:
    assert relayed(stream + end + b"data: 2\n\n", cut) == [*events, PassthroughEvent(b"[DONE]"), END]


@pytest.mark.parametrize("cut", [whole, one_by_one])
@pytest.mark.parametrize("kind", ["response.completed", "response.failed", "error"])
@pytest.mark.parametrize("more", ["", ',"detail":"x"', ',"error":1'])
def test_event_type_that_ends_the_stream_is_followed_by_finished(cut: Cut, kind: str, more: str) -> None:
    payload = f'{{"type":"{kind}"{more}}}'.encode()

    assert relayed(b"data: 1\n\ndata: %b\n\ndata: 2\n\n" % payload, cut, end=kind) == [
        ONE,
        PassthroughEvent(payload, type=kind),
        END,
    ]


def test_event_above_the_limit_of_bytes_is_not_forwarded() -> None:
    [error] = relayed(b"data: 1\n\ndata: " + b"x" * (MAX_EVENT_BYTES + 1))

    assert error == (UpstreamMalformed, f"an event of the upstream has more than {MAX_EVENT_BYTES} bytes")


def is_token(payload: bytes) -> bool:
    """Whether the event of `payload` is a token; asserts that standard and lenient decoding agree."""
    event = relayed(b"data: %b\n\n" % payload)[0]
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
    assert relayed(b"data: %b\n\n" % payload)[0] == PassthroughEvent(payload, text_bytes > 0, "", text_bytes)


def test_tool_name_is_a_token_of_zero_bytes() -> None:
    payload = b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":""}}]}}]}'

    assert relayed(b"data: %b\n\n" % payload) == [PassthroughEvent(payload, is_token=True)]


def test_output_of_all_choices_is_counted() -> None:
    payload = b'{"choices":[{"delta":{"content":""}},{"index":1,"delta":{"content":"abc"}}]}'

    assert relayed(b"data: %b\n\n" % payload) == [PassthroughEvent(payload, is_token=True, text_bytes=3)]


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

    assert relayed(b"data: %b\n\n" % payload) == [PassthroughEvent(payload, True, f"response.{kind}.delta", text_bytes)]


@pytest.mark.parametrize("cut", [whole, one_by_one])
@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b'data: {"error":{"message":"out of memory"}}\n\n', failed(": out of memory")),
        (b'data: {"error":"out of memory"}\n\n', failed(": out of memory")),
        (b'{"choices":[{"message":{"content":"Hi"}}]}', MALFORMED),
        (b'{"a":"\xff"}', MALFORMED),
        (b"event: error\ndata: busy\n\n", failed(": busy")),
        (b"event: error\ndata:\n\n", failed("")),
        (b'event: error\ndata: {"message":"busy"}\n\n', failed(": busy")),
        (b'event: error\ndata: {"choices":[]}\n\n', failed("")),
        (b'data: {"object":"error","message":"busy"}\n\n', failed(": busy")),
        (b'data: {"type":"error","message":"busy"}\n\n', failed(": busy")),
        (b'data: {"error_message":"busy"}\n\n', failed(": busy")),
        (b'data: {"detail":"busy"}\n\n', failed(": busy")),
        (b'data: {"message":"busy","code":1}\n\n', failed(": busy")),
        (b'data: {"msg":"busy","code":1}\n\n', failed(": busy")),
        (b'data: {"fault":{"faultstring":"busy"}}\n\n', failed(": busy")),
        (b'data: {"choices":[{"error":"busy"}]}\n\n', failed(": busy")),
        (b'{"error":{"message":"busy"}}', failed(": busy")),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_error_in_any_form_breaks_the_stream(cut: Cut, stream: bytes, error: tuple[type, str]) -> None:
    assert relayed(b"data: 1\n\n" + stream + DONE, cut) == [ONE, error]


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
    assert relayed(b"data: %b\n\n" % payload) == [PassthroughEvent(payload, type="response.x", number=number)]


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
    assert [replace(event, frame=b"")] == relayed(data)


def test_error_that_is_one_read_breaks_the_stream() -> None:
    events = [b"data: 1\n\n", b'data: {"object":"error","choices":[{}]}\n\n']

    assert relayed(b"", lambda _: events) == [ONE, failed("")]
