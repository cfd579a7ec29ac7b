import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import ChatRequest, Message, ToolCall
from tokenfall.wire.anthropic.request import MessagesOptions
from tokenfall.wire.anthropic.response import ANTHROPIC
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import (
    ContentBlock,
    ParsedRequest,
    ResponseChoice,
    ResponseMeta,
)
from tokenfall.wire.sse_decoder import SSEDecoder

from tests.unit.wire import streams
from tests.unit.wire.streams import Script, complete_body

REQUEST = ChatRequest(messages=(Message("user", "Hi"),), model="sim", max_tokens=9)
ASKED = ParsedRequest(request=REQUEST, stream=True, options=MessagesOptions())
QUIET = ParsedRequest(request=REQUEST, stream=True, options=MessagesOptions(omit_thinking=True))
IDENTITY = ResponseMeta("0123456789abcdef01234567", 1_700_000_000.5, "sim", 12)
USAGE = Usage(12, 5)
TEXT, THOUGHT = ContentBlock("text"), ContentBlock("thought")
WEATHER = ContentBlock("call", call=ToolCall("toolu_1", "weather", ""))
TIME = ContentBlock("call", call=ToolCall("toolu_2", "time", ""), index=1)


def stream(
    events: Script,
    reason: FinishReason = "stop",
    *,
    parsed: ParsedRequest = ASKED,
    usage: Usage | None = USAGE,
    stop: str = "",
) -> bytes:
    return streams.stream(ANTHROPIC, parsed, events, finished=Finished(reason, "m", usage, stop), meta=IDENTITY)


START = (
    b"event: message_start\n"
    b'data: {"type":"message_start","message":{"id":"msg_0123456789abcdef01234567","type":"message","role":"assistant",'
    b'"model":"sim","content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":{"input_tokens":12,'
    b'"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}\n\n'
)
TEXT_START = (
    b"event: content_block_start\n"
    b'data: {"type":"content_block_start","index":%d,"content_block":{"type":"text","text":""}}\n\n'
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{%b}}\n\n'
STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
END = (
    b"event: message_delta\n"
    b'data: {"type":"message_delta","delta":{"stop_reason":%b,"stop_sequence":%b,"stop_details":%b},"usage":'
    b'{"input_tokens":12,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
TURN_END = END % (b'"end_turn"', b"null", b"null", 5)
WEATHER_START = (
    b"event: content_block_start\n"
    b'data: {"type":"content_block_start","index":%d,"content_block":'
    b'{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}\n\n'
)
TIME_START = (
    b"event: content_block_start\n"
    b'data: {"type":"content_block_start","index":%d,"content_block":'
    b'{"type":"tool_use","id":"toolu_2","name":"time","input":{}}}\n\n'
)
THOUGHT_START = (
    b"event: content_block_start\n"
    b'data: {"type":"content_block_start","index":0,"content_block":'
    b'{"type":"thinking","thinking":"","signature":""}}\n\n'
)
SIGNATURE = b"dG9rZW5mYWxsIDAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2NyAw"
SIGNED = DELTA % (0, b'"type":"signature_delta","signature":"%b"' % SIGNATURE)


# Streams, byte for byte


def test_text_is_streamed_in_frames() -> None:
    assert stream([(TEXT, ["Hel", "lo\n"])]) == (
        START
        + TEXT_START % 0
        + PING
        + DELTA % (0, b'"type":"text_delta","text":"Hel"')
        + DELTA % (0, b'"type":"text_delta","text":"lo\\n"')
        + STOP % 0
        + TURN_END
    )


def test_thinking_block_is_signed_before_the_text() -> None:
    assert stream([(THOUGHT, ["Hm"]), (TEXT, ["So"])]) == (
        START
        + THOUGHT_START
        + PING
        + DELTA % (0, b'"type":"thinking_delta","thinking":"Hm"')
        + SIGNED
        + STOP % 0
        + TEXT_START % 1
        + DELTA % (1, b'"type":"text_delta","text":"So"')
        + STOP % 1
        + TURN_END
    )


def test_omitted_thinking_has_only_a_signature() -> None:
    encoder = ANTHROPIC.encoder(QUIET, IDENTITY)
    encoder.open(THOUGHT)

    assert encoder.frame_template() is None
    assert stream([(THOUGHT, ["Hm"])], parsed=QUIET) == START + THOUGHT_START + PING + SIGNED + STOP % 0 + TURN_END


def test_tool_call_is_streamed_as_json_deltas() -> None:
    assert stream([(WEATHER, ['{"city":', '"Ulm"}'])], "tool_calls") == (
        START
        + WEATHER_START % 0
        + PING
        + DELTA % (0, b'"type":"input_json_delta","partial_json":"{\\"city\\":"')
        + DELTA % (0, b'"type":"input_json_delta","partial_json":"\\"Ulm\\"}"')
        + STOP % 0
        + END % (b'"tool_use"', b"null", b"null", 5)
    )


def test_text_and_two_calls_are_streamed_in_blocks() -> None:
    assert stream([(TEXT, ["Look"]), (WEATHER, ["{}"]), (TIME, [])], "tool_calls") == (
        START
        + TEXT_START % 0
        + PING
        + DELTA % (0, b'"type":"text_delta","text":"Look"')
        + STOP % 0
        + WEATHER_START % 1
        + DELTA % (1, b'"type":"input_json_delta","partial_json":"{}"')
        + STOP % 1
        + TIME_START % 2
        + STOP % 2
        + END % (b'"tool_use"', b"null", b"null", 5)
    )


REFUSAL = b'{"type":"refusal","category":null,"explanation":null}'


@pytest.mark.parametrize(
    ("reason", "stop", "encoded", "sequence", "details"),
    [
        ("stop", "", b'"end_turn"', b"null", b"null"),
        ("stop", "END", b'"stop_sequence"', b'"END"', b"null"),
        ("length", "", b'"max_tokens"', b"null", b"null"),
        ("length", "END", b'"max_tokens"', b"null", b"null"),
        ("tool_calls", "", b'"tool_use"', b"null", b"null"),
        ("content_filter", "", b'"refusal"', b"null", REFUSAL),
    ],
)
def test_empty_response_has_a_stop_reason_and_no_block(
    reason: FinishReason, stop: str, encoded: bytes, sequence: bytes, details: bytes
) -> None:
    assert stream([], reason, stop=stop) == START + END % (encoded, sequence, details, 5)


def test_finish_after_the_end_of_a_block_writes_nothing() -> None:
    encoder = ANTHROPIC.encoder(ASKED, IDENTITY)
    encoder.open(TEXT)

    assert encoder.finish(0, "stop") == STOP % 0
    assert encoder.finish(0, "stop") == b""


def test_unknown_usage_is_reported_as_prompt_tokens() -> None:
    assert stream([], usage=None) == START + END % (b'"end_turn"', b"null", b"null", 0)


def test_usage_of_finished_is_reported() -> None:
    assert b'"usage":{"input_tokens":40,' in stream([], usage=Usage(40, 1)).split(b"message_delta", 1)[1]


def test_keepalive_is_a_ping_event() -> None:
    assert ANTHROPIC.keepalive == PING


@given(st.lists(st.text()))
def test_any_text_round_trips_in_its_frames(texts: list[str]) -> None:
    for block, name in ((TEXT, "text"), (THOUGHT, "thinking"), (WEATHER, "partial_json")):
        events = (json.loads(event.data) for event in SSEDecoder().feed(stream([(block, texts)])))
        deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]

        assert [delta[name] for delta in deltas if name in delta] == texts


# Errors


OVERLOADED = ApiError(status=529, code="upstream_failed", message="too\nmuch", request_id="req_1")
ERROR_DOCUMENT = b'{"type":"error","error":{"type":"overloaded_error","message":"too\\nmuch"},"request_id":"req_1"}'


def test_error_before_the_first_token_is_a_document() -> None:
    assert ANTHROPIC.error(OVERLOADED) == ERROR_DOCUMENT


def test_error_in_a_stream_is_an_event() -> None:
    assert ANTHROPIC.error_frame(OVERLOADED, 0) == b"event: error\ndata: " + ERROR_DOCUMENT + b"\n\n"


# Complete responses, byte for byte


def complete(
    choice: ResponseChoice, *, parsed: ParsedRequest = ASKED, usage: Usage | None = USAGE, stop: str = ""
) -> bytes:
    finished = Finished(choice.reason, "m", usage, stop)
    return complete_body(ANTHROPIC, parsed, choice, finished=finished, meta=IDENTITY)


WHOLE = (
    b'{"id":"msg_0123456789abcdef01234567","type":"message","role":"assistant","model":"sim","content":[%b],'
    b'"stop_reason":"%b","stop_sequence":%b,"stop_details":null,"usage":{"input_tokens":12,'
    b'"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d}}'
)


@pytest.mark.parametrize(
    ("text", "stop", "encoded"),
    [
        ("Hi\n", "", WHOLE % (b'{"type":"text","text":"Hi\\n"}', b"end_turn", b"null", 5)),
        ("Hi", "END", WHOLE % (b'{"type":"text","text":"Hi"}', b"stop_sequence", b'"END"', 5)),
        ("", "", WHOLE % (b"", b"end_turn", b"null", 5)),
    ],
)
def test_complete_response_has_the_text_and_the_stop_sequence(text: str, stop: str, encoded: bytes) -> None:
    assert complete(ResponseChoice(text=text, reason="stop"), stop=stop) == encoded


@pytest.mark.parametrize(("parsed", "shown"), [(ASKED, b"Hm"), (QUIET, b"")])
def test_complete_reasoning_text_and_calls(parsed: ParsedRequest, shown: bytes) -> None:
    calls = (ToolCall("toolu_1", "weather", '{"city": "Ulm"}'), ToolCall("toolu_2", "time", ""))

    assert complete(
        ResponseChoice(text="So", reason="tool_calls", thought="Hm", calls=calls), parsed=parsed
    ) == WHOLE % (
        b'{"type":"thinking","thinking":"%b","signature":"%b"},{"type":"text","text":"So"},'
        b'{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Ulm"}},'
        b'{"type":"tool_use","id":"toolu_2","name":"time","input":{}}' % (shown, SIGNATURE),
        b"tool_use",
        b"null",
        5,
    )


@pytest.mark.parametrize("arguments", ['{"city":', "[1]", "null", "[" * 100_000])
def test_arguments_that_are_not_an_object_become_empty(arguments: str) -> None:
    encoded = complete(ResponseChoice(text="", reason="length", calls=(ToolCall("toolu_1", "weather", arguments),)))

    assert encoded == WHOLE % (
        b'{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}',
        b"max_tokens",
        b"null",
        5,
    )


def test_unknown_usage_of_a_complete_response_is_that_of_the_prompt() -> None:
    assert complete(ResponseChoice(text="", reason="stop"), usage=None) == WHOLE % (b"", b"end_turn", b"null", 0)


def test_cached_tokens_are_not_input_tokens() -> None:
    encoded = complete(ResponseChoice(text="Hi", reason="stop"), usage=Usage(1000, 5, 800, 100))

    assert json.loads(encoded)["usage"] == {
        "input_tokens": 100,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 800,
        "output_tokens": 5,
    }
