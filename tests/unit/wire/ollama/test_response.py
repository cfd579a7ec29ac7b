import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import ChatRequest, Message, ToolCall
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import (
    ContentBlock,
    Dialect,
    ParsedRequest,
    ResponseChoice,
    ResponseMeta,
    ResponseTiming,
)
from tokenfall.wire.ollama.document import load_response
from tokenfall.wire.ollama.request import OllamaOptions
from tokenfall.wire.ollama.response import OLLAMA_CHAT, OLLAMA_GENERATE

from tests.unit.wire import streams
from tests.unit.wire.streams import Script, encode_block

REQUEST = ChatRequest(messages=(Message("user", "Hi"),), model="sim", max_tokens=9)
CHAT = ParsedRequest(request=REQUEST, stream=True, options=OllamaOptions(generate=False))
GENERATE = ParsedRequest(request=REQUEST, stream=True, options=OllamaOptions(generate=True))
IDENTITY = ResponseMeta("0123456789abcdef01234567", 1_700_000_000.25, "sim", 12)
USAGE = Usage(12, 5)
TEXT, THOUGHT = ContentBlock("text"), ContentBlock("thought")
WEATHER = ContentBlock("call", call=ToolCall("call_a", "weather", ""))
TIME = ContentBlock("call", call=ToolCall("call_b", "time", ""), index=1)
FAULT = ApiError(status=404, code="not_found", message="model 'x' not found", param="model")

HEAD = b'{"model":"sim","created_at":"2023-11-14T22:13:20.250000Z",'
THE = HEAD + b'"message":{"role":"assistant","content":"The"},"done":false}\n'
SKY = HEAD + b'"message":{"role":"assistant","content":" sky"},"done":false}\n'
HM = HEAD + b'"message":{"role":"assistant","content":"","thinking":"Hm"},"done":false}\n'
WEATHER_LINE = HEAD + (
    b'"message":{"role":"assistant","content":"","tool_calls":[{"id":"call_a","function":{"index":0,"name":"weather",'
    b'"arguments":{"city":"Graz"}}}]},"done":false}\n'
)
TIME_LINE = HEAD + (
    b'"message":{"role":"assistant","content":"","tool_calls":[{"id":"call_b","function":{"index":1,"name":"time",'
    b'"arguments":{}}}]},"done":false}\n'
)
METRICS = (
    b'"total_duration":1500000000,"load_duration":1,"prompt_eval_count":12,"prompt_eval_duration":500000000,'
    b'"eval_count":5,"eval_duration":1000000000}'
)
STOP = HEAD + b'"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",' + METRICS + b"\n"
LARGE = "1234567890123456789012345678901234567890.50"
LENGTH = STOP.replace(b'"stop"', b'"length"')


def stream(
    events: Script, reason: FinishReason = "stop", *, parsed: ParsedRequest = CHAT, usage: Usage | None = USAGE
) -> bytes:
    return streams.stream(OLLAMA_CHAT, parsed, events, finished=Finished(reason, "m", usage), meta=IDENTITY)


def complete_body(choice: ResponseChoice, *, parsed: ParsedRequest = CHAT, usage: Usage | None = USAGE) -> bytes:
    finished = Finished(choice.reason, "m", usage)
    return streams.complete_body(OLLAMA_CHAT, parsed, choice, finished=finished, meta=IDENTITY)


# Streams, byte for byte


@pytest.mark.parametrize(
    ("script", "reason", "lines"),
    [
        ([(TEXT, ["The", " sky"])], "stop", THE + SKY + STOP),
        ([(TEXT, ["The"])], "length", THE + LENGTH),
        ([(TEXT, ["The"])], "content_filter", THE + STOP),
        ([], "stop", STOP),
        ([(THOUGHT, ["Hm"]), (TEXT, ["The"])], "stop", HM + THE + STOP),
        ([(WEATHER, ['{"city": ', '"Graz"}'])], "tool_calls", WEATHER_LINE + STOP),
        ([(WEATHER, ['{"city":', '"Graz"}']), (TIME, ["{}"])], "tool_calls", WEATHER_LINE + TIME_LINE + STOP),
        ([(WEATHER, ['{"city":"Graz"}']), (TIME, [])], "tool_calls", WEATHER_LINE + TIME_LINE + STOP),
        ([(TEXT, ["The"]), (WEATHER, ['{"city":"Graz"}'])], "tool_calls", THE + WEATHER_LINE + STOP),
        ([(WEATHER, ['{\n  "city": "Graz"\n}\n'])], "tool_calls", WEATHER_LINE + STOP),
        ([(WEATHER, [f'{{"city":{LARGE}}}'])], "tool_calls", WEATHER_LINE.replace(b'"Graz"', LARGE.encode()) + STOP),
        *(
            ([(WEATHER, [arguments])], "length", THE.replace(b'"The"', json.dumps(arguments).encode()) + LENGTH)
            for arguments in ('{"city":"Gr', "[1]", "nonsense", "[" * 100_000)
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_response_is_streamed_in_lines(script: Script, reason: FinishReason, lines: bytes) -> None:
    assert stream(script, reason) == lines


def test_call_is_sent_when_the_next_block_opens() -> None:
    encoder = OLLAMA_CHAT.encoder(CHAT, IDENTITY)
    encode_block(encoder, WEATHER, ['{"city":"Graz"}'])

    assert encoder.open(TIME) == WEATHER_LINE
    assert encoder.open(TEXT) == TIME_LINE
    assert encoder.finish(0, "stop") == b""


def test_unknown_usage_is_0() -> None:
    end = STOP.replace(b'_count":12', b'_count":0').replace(b'_count":5', b'_count":0')

    assert stream([(TEXT, ["The"])], usage=None) == THE + end


def test_durations_are_never_0() -> None:
    encoder = OLLAMA_CHAT.encoder(CHAT, IDENTITY)

    end = json.loads(encoder.end(Finished("stop", "m", USAGE), ResponseTiming(0.0, 0.5)))

    assert (end["total_duration"], end["prompt_eval_duration"], end["eval_duration"]) == (1, 500_000_000, 1)


def test_generate_puts_text_in_response() -> None:
    head = HEAD + b'"response":'

    assert stream([(THOUGHT, ["Hm"]), (TEXT, ["The"]), (WEATHER, ["{}"])], parsed=GENERATE) == (
        head
        + b'"","thinking":"Hm","done":false}\n'
        + head
        + b'"The","done":false}\n'
        + head
        + b'"","tool_calls":[{"id":"call_a","function":{"index":0,"name":"weather","arguments":{}}}],"done":false}\n'
        + head
        + b'"","done":true,"done_reason":"stop",'
        + METRICS
        + b"\n"
    )


@pytest.mark.parametrize("parsed", [CHAT, GENERATE])
@pytest.mark.parametrize("block", [TEXT, THOUGHT])
def test_frame_template_holds_for_the_whole_block(parsed: ParsedRequest, block: ContentBlock) -> None:
    encoder = OLLAMA_CHAT.encoder(parsed, IDENTITY)
    encoder.open(block)

    before, after = encoder.frame_template() or (b"", b"")

    assert before.startswith(HEAD)
    encode_block(encoder, block, ["a"])
    assert encoder.frame_template() == (before, after)


@given(st.lists(st.text()), st.sampled_from([CHAT, GENERATE]), st.sampled_from([TEXT, THOUGHT]))
def test_any_text_round_trips_in_its_line(tokens: list[str], parsed: ParsedRequest, block: ContentBlock) -> None:
    lines = stream([(block, tokens)], parsed=parsed).decode().splitlines()  # httpx also splits lines at U+2028

    documents = [json.loads(line) for line in lines]
    parts = [document if parsed is GENERATE else document["message"] for document in documents]
    field = "thinking" if block is THOUGHT else "response" if parsed is GENERATE else "content"
    assert [each[field] for each in parts[:-1]] == tokens
    assert [document["done"] for document in documents] == [False] * len(tokens) + [True]


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_any_arguments_round_trip_in_their_line(arguments: dict[str, object]) -> None:
    text = json.dumps(arguments, ensure_ascii=False, indent=1)

    line = stream([(WEATHER, text)], "tool_calls").decode().splitlines()[0]

    assert json.loads(line)["message"]["tool_calls"][0]["function"]["arguments"] == arguments


# Complete responses


def test_complete_response() -> None:
    assert complete_body(ResponseChoice(text="The sky", reason="stop")) == (
        HEAD + b'"message":{"role":"assistant","content":"The sky"},"done":true,"done_reason":"stop",' + METRICS
    )


def test_complete_response_with_reasoning_and_calls() -> None:
    calls = (ToolCall("call_a", "weather", '{"city": "Graz"}'), ToolCall("call_b", "time", ""))

    assert complete_body(ResponseChoice(text="", reason="tool_calls", thought="Hm", calls=calls)) == (
        HEAD + b'"message":{"role":"assistant","content":"","thinking":"Hm","tool_calls":['
        b'{"id":"call_a","function":{"index":0,"name":"weather","arguments":{"city":"Graz"}}},'
        b'{"id":"call_b","function":{"index":1,"name":"time","arguments":{}}}]},"done":true,"done_reason":"stop",'
        + METRICS
    )


def test_incomplete_call_is_text_in_a_complete_response() -> None:
    calls = (ToolCall("call_a", "weather", '{"ci'),)

    assert complete_body(ResponseChoice(text="So: ", reason="length", calls=calls), usage=None) == (
        HEAD + b'"message":{"role":"assistant","content":"So: {\\"ci"},"done":true,"done_reason":"length",'
        b'"total_duration":1500000000,"load_duration":1,"prompt_eval_count":0,"prompt_eval_duration":500000000,'
        b'"eval_count":0,"eval_duration":1000000000}'
    )


def test_complete_generate_response_has_all_fields() -> None:
    assert complete_body(ResponseChoice(text="The sky", reason="length", thought="Hm"), parsed=GENERATE) == (
        HEAD + b'"response":"The sky","thinking":"Hm","done":true,"done_reason":"length",' + METRICS
    )


# Load requests


@pytest.mark.parametrize(
    ("dialect", "body", "expected"),
    [
        (OLLAMA_CHAT, b'{"model":"sim","messages":[]}', b'"message":{"role":"assistant","content":""},%b"load"}'),
        (OLLAMA_CHAT, b'{"model":"sim","keep_alive":0}', b'"message":{"role":"assistant","content":""},%b"unload"}'),
        (OLLAMA_GENERATE, b'{"model":"sim"}', b'"response":"",%b"load"}'),
        (OLLAMA_GENERATE, b'{"model":"sim","prompt":"","keep_alive":"0s"}', b'"response":"",%b"unload"}'),
    ],
)
def test_request_without_a_prompt_loads_the_model(dialect: Dialect, body: bytes, expected: bytes) -> None:
    parsed = dialect.decode(body)

    assert parsed.options.load
    assert load_response(parsed, IDENTITY) == HEAD + expected % b'"done":true,"done_reason":'


# Errors


def test_error_before_the_first_token_is_a_document() -> None:
    assert OLLAMA_CHAT.error(FAULT) == b'{"error":"model \'x\' not found"}'


def test_error_in_a_stream_is_a_line() -> None:
    api_error = FAULT.replaced(message="it\u2028broke")

    assert OLLAMA_CHAT.error_frame(api_error, 0) == b'{"error":"it\\u2028broke"}\n'


def test_dialect_names_and_content_types() -> None:
    assert [OLLAMA_CHAT.name, OLLAMA_GENERATE.name] == ["ollama.chat", "ollama.generate"]
    for dialect in (OLLAMA_CHAT, OLLAMA_GENERATE):
        assert (dialect.stream_type, dialect.keepalive) == ("application/x-ndjson", b"")


@pytest.mark.parametrize("dialect", [OLLAMA_CHAT, OLLAMA_GENERATE], ids=lambda dialect: dialect.name)
def test_logprobs_are_sent_if_requested(dialect: Dialect) -> None:
    prompts = {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}
    parsed = dialect.decode(json.dumps({"model": "sim", **prompts, "logprobs": True, "top_logprobs": 2}).encode())
    encoder = dialect.encoder(parsed, IDENTITY)
    [line] = encode_block(encoder, TEXT, ["Hi"]).splitlines()
    choice = ResponseChoice(text="Hi", reason="stop", tokens=["Hi"])

    [logprob] = json.loads(line)["logprobs"]
    assert (logprob["token"], len(logprob["top_logprobs"])) == ("Hi", 2)
    assert json.loads(streams.complete_body(dialect, parsed, choice))["logprobs"] == [logprob]
    sent = dialect.for_upstream(parsed)
    assert (sent.options.logprobs, sent.request.logprobs) == (False, 2)
    assert b"logprobs" not in encode_block(encoder, THOUGHT, ["Hm"])


@pytest.mark.parametrize("dialect", [OLLAMA_CHAT, OLLAMA_GENERATE], ids=lambda dialect: dialect.name)
def test_complete_response_has_the_log_probabilities_of_the_upstream(dialect: Dialect) -> None:
    parsed = CHAT if dialect is OLLAMA_CHAT else GENERATE
    choice = ResponseChoice(text="Hi", reason="stop", logprobs=b'{"token":"Hi"},{"token":"!"}')

    document = json.loads(streams.complete_body(dialect, parsed, choice))
    assert document["logprobs"] == [{"token": "Hi"}, {"token": "!"}]
