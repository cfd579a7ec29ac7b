import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.events import Finished, FinishReason, Usage
from tokenfall.messages import ChatRequest, Message, ToolCall
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import (
    ContentBlock,
    Dialect,
    ModelResponse,
    ParsedRequest,
    ResponseChoice,
    ResponseMeta,
    ResponseTiming,
)
from tokenfall.wire.ollama.document import load_response
from tokenfall.wire.ollama.request import OllamaOptions
from tokenfall.wire.ollama.response import OLLAMA_CHAT, OLLAMA_GENERATE

REQUEST = ChatRequest(messages=(Message("user", "Hi"),), model="sim", max_tokens=9)
CHAT = ParsedRequest(request=REQUEST, stream=True, options=OllamaOptions(generate=False))
GENERATE = ParsedRequest(request=REQUEST, stream=True, options=OllamaOptions(generate=True))
IDENTITY = ResponseMeta("0123456789abcdef01234567", 1_700_000_000.25, "sim", 12)
TIMING = ResponseTiming(total_s=1.5, first_token_s=0.25)
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
    b'"total_duration":1500000000,"load_duration":1,"prompt_eval_count":12,"prompt_eval_duration":250000000,'
    b'"eval_count":5,"eval_duration":1250000000}'
)
STOP = HEAD + b'"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",' + METRICS + b"\n"
LENGTH = STOP.replace(b'"stop"', b'"length"')

OutputEvent = Sequence[tuple[ContentBlock, Sequence[str]]]


def stream(
    events: OutputEvent, reason: FinishReason = "stop", *, parsed: ParsedRequest = CHAT, usage: Usage | None = USAGE
) -> bytes:
    encoder = OLLAMA_CHAT.encoder(parsed, IDENTITY)
    lines = b""
    for block, tokens in events:
        lines += encoder.open(block)
        lines += b"".join(map(encoder.token, tokens))
    return lines + encoder.finish(0, reason) + encoder.end(Finished(reason, "m", usage), TIMING)


def complete_body(*choices: ResponseChoice, parsed: ParsedRequest = CHAT, usage: Usage | None = USAGE) -> bytes:
    finished = Finished(choices[0].reason, "m", usage)
    return b"".join(
        OLLAMA_CHAT.encode_response(
            parsed, ModelResponse(meta=IDENTITY, choices=choices, finished=finished, timing=TIMING)
        )
    )


# Streams, byte for byte


def test_text_stream_has_a_line_per_token_and_a_last_line() -> None:
    assert stream([(TEXT, ["The", " sky"])]) == THE + SKY + STOP


def test_reasoning_is_sent_in_thinking() -> None:
    assert stream([(THOUGHT, ["Hm"]), (TEXT, ["The"])]) == HM + THE + STOP


def test_tool_call_is_one_line_with_its_arguments_as_an_object() -> None:
    encoder = OLLAMA_CHAT.encoder(CHAT, IDENTITY)

    assert encoder.open(WEATHER) == b""
    assert encoder.frame_template() is None
    assert encoder.token('{"city": ') == b""
    assert encoder.token('"Graz"}') == b""
    assert encoder.finish(0, "tool_calls") == WEATHER_LINE
    assert encoder.end(Finished("tool_calls", "m", USAGE), TIMING) == STOP


def test_call_is_sent_when_the_next_block_opens() -> None:
    encoder = OLLAMA_CHAT.encoder(CHAT, IDENTITY)
    encoder.open(WEATHER)
    encoder.token('{"city":"Graz"}')

    assert encoder.open(TIME) == WEATHER_LINE
    assert encoder.open(TEXT) == TIME_LINE
    assert encoder.finish(0, "stop") == b""


def test_two_tool_calls_are_two_lines() -> None:
    calls_ = [(WEATHER, ['{"city":', '"Graz"}']), (TIME, ["{}"])]

    assert stream(calls_, "tool_calls") == WEATHER_LINE + TIME_LINE + STOP


def test_call_may_follow_a_text() -> None:
    assert stream([(TEXT, ["The"]), (WEATHER, ['{"city":"Graz"}'])], "tool_calls") == THE + WEATHER_LINE + STOP


def test_arguments_with_line_breaks_are_sent_in_one_line() -> None:
    assert stream([(WEATHER, ['{\n  "city": "Graz"\n}\n'])], "tool_calls") == WEATHER_LINE + STOP


def test_numbers_in_arguments_are_unchanged() -> None:
    line = WEATHER_LINE.replace(b'"Graz"', b"1234567890123456789012345678901234567890.50")

    assert stream([(WEATHER, ['{"city":1234567890123456789012345678901234567890.50}'])]) == line + STOP


@pytest.mark.parametrize("arguments", ['{"city":"Gr', "[1]", "nonsense", "[" * 100_000])
def test_incomplete_call_is_sent_as_text(arguments: str) -> None:
    line = THE.replace(b'"The"', json.dumps(arguments).encode())

    assert stream([(WEATHER, [arguments])], "length") == line + LENGTH


@pytest.mark.parametrize(
    ("reason", "end"), [("stop", STOP), ("length", LENGTH), ("tool_calls", STOP), ("content_filter", STOP)]
)
def test_last_line_has_the_done_reason(reason: FinishReason, end: bytes) -> None:
    assert stream([(TEXT, ["The"])], reason) == THE + end


def test_empty_response_is_only_the_last_line() -> None:
    assert stream([]) == STOP


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

    assert encoder.token("a\n") == before + b'"a\\n"' + after
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
        b'"total_duration":1500000000,"load_duration":1,"prompt_eval_count":0,"prompt_eval_duration":250000000,'
        b'"eval_count":0,"eval_duration":1250000000}'
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


def test_error_after_the_first_token_is_a_line() -> None:
    encoder = OLLAMA_CHAT.encoder(CHAT, IDENTITY)
    encoder.open(TEXT)
    api_error = FAULT.replaced(message="it\u2028broke")

    assert encoder.token("The") + OLLAMA_CHAT.error_frame(api_error, 0) == THE + b'{"error":"it\\u2028broke"}\n'


def test_dialect_names_and_content_types() -> None:
    assert [OLLAMA_CHAT.name, OLLAMA_GENERATE.name] == ["ollama.chat", "ollama.generate"]
    for dialect in (OLLAMA_CHAT, OLLAMA_GENERATE):
        assert (dialect.stream_type, dialect.keepalive) == ("application/x-ndjson", b"")


@pytest.mark.parametrize("dialect", [OLLAMA_CHAT, OLLAMA_GENERATE], ids=lambda dialect: dialect.name)
def test_logprobs_are_sent_if_requested(dialect: Dialect) -> None:
    prompts = {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}
    parsed = dialect.decode(json.dumps({"model": "sim", **prompts, "logprobs": True, "top_logprobs": 2}).encode())
    encoder = dialect.encoder(parsed, IDENTITY)
    encoder.open(ContentBlock("text"))
    [line] = encoder.token("Hi").splitlines()
    choice = ResponseChoice(text="Hi", reason="stop", tokens=["Hi"])
    response = ModelResponse(meta=IDENTITY, choices=[choice], finished=Finished("stop", "sim"), timing=ResponseTiming())

    [logprob] = json.loads(line)["logprobs"]
    assert (logprob["token"], len(logprob["top_logprobs"])) == ("Hi", 2)
    assert json.loads(b"".join(dialect.encode_response(parsed, response)))["logprobs"] == [logprob]
    sent = dialect.for_upstream(parsed)
    assert (sent.options.logprobs, sent.request.logprobs) == (False, 2)
    assert encoder.open(ContentBlock("thought")) == b""
    assert b"logprobs" not in encoder.token("Hm")


@pytest.mark.parametrize("dialect", [OLLAMA_CHAT, OLLAMA_GENERATE], ids=lambda dialect: dialect.name)
def test_complete_response_has_the_log_probabilities_of_the_upstream(dialect: Dialect) -> None:
    parsed = CHAT if dialect is OLLAMA_CHAT else GENERATE
    choice = ResponseChoice(text="Hi", reason="stop", logprobs=b'{"token":"Hi"},{"token":"!"}')
    response = ModelResponse(meta=IDENTITY, choices=[choice], finished=Finished("stop", "sim"), timing=TIMING)

    document = json.loads(b"".join(dialect.encode_response(parsed, response)))
    assert document["logprobs"] == [{"token": "Hi"}, {"token": "!"}]
