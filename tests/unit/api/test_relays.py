import json
import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tokenfall.api.relays import DONE, RESPONSES, PassthroughRelay, StreamFraming, TranslatedRelay
from tokenfall.errors import InvalidRequest, ResponseMemoryFull, UpstreamReset
from tokenfall.events import Finished, PassthroughEvent, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tokenfall.http.response import Response
from tokenfall.memory.leases import ResponseMemory
from tokenfall.messages import ChatRequest
from tokenfall.metrics.registry import Metrics
from tokenfall.upstream.engine import PassthroughRequest, UpstreamEngine
from tokenfall.upstream.relayed_response import RelayedResponse
from tokenfall.upstream.timeouts import UpstreamTimeouts, Watch
from tokenfall.wire.anthropic.response import ANTHROPIC
from tokenfall.wire.dialect import Dialect, ParsedRequest, ResponseMeta
from tokenfall.wire.event_encoder import EventEncoder
from tokenfall.wire.ollama.context import with_context
from tokenfall.wire.ollama.response import OLLAMA_CHAT, OLLAMA_GENERATE
from tokenfall.wire.openai.completions.response import OPENAI_COMPLETIONS
from tokenfall.wire.openai.response import GROQ_CHAT, OPENAI_CHAT
from tokenfall.wire.openai.responses.response import OPENAI_RESPONSES
from tokenfall.wire.upstream.request import encode_request

from tests.doubles.clocks import FakeWheel
from tests.doubles.memory import ample_memory
from tests.doubles.requests import request
from tests.doubles.sent import RecordingSend

IDENTITY = ResponseMeta("0123456789abcdef01234567", 1_700_000_000.5, "up-1")
FINISHED = Finished("stop", "up-1", Usage(3, 5))


class FakeUpstream:
    """Reports `events`, then fails or finishes."""

    def __init__(self, *events: Any, failure: Exception | None = None, finished: Finished = FINISHED) -> None:
        self._events = events
        self._finished = finished
        self._failure = failure
        self.passthrough_requests: list[PassthroughRequest] = []
        self.requests: list[ChatRequest] = []
        self.ends: Callable[[str], bool] | None = None

    def as_engine(self) -> UpstreamEngine:
        return cast(UpstreamEngine, self)

    async def converse(self, request: ChatRequest, on_event: Callable[[Any], Any]) -> Finished:
        self.requests.append(request)
        for event in self._events:
            if (full := on_event(event)) is not None:
                await full
        if self._failure is not None:
            raise self._failure
        return self._finished

    async def pass_through(
        self, passthrough: PassthroughRequest, on_event: Callable[[Any], Any], *, ends: Callable[[str], bool]
    ) -> Finished:
        self.passthrough_requests.append(passthrough)
        self.ends = ends
        for event in self._events:
            on_event(event)
        return FINISHED

    async def relay(self, passthrough: PassthroughRequest) -> RelayedResponse:
        self.passthrough_requests.append(passthrough)
        wheel = FakeWheel()
        relayed = RelayedResponse(Watch(wheel, UpstreamTimeouts(), started_s=wheel.now(), non_streaming=True))
        relayed.body = b'{"as":"it is"}'
        return relayed


def body(**fields: Any) -> bytes:
    messages = [{"role": "user", "content": "Hi"}]
    return json.dumps({"model": "up-1", "messages": messages, "max_tokens": 9, **fields}).encode()


# Passthrough


def passthrough(upstream: FakeUpstream, form: StreamFraming | None = None) -> PassthroughRelay:
    return PassthroughRelay(upstream.as_engine(), "/chat/completions", framing=form or DONE)


@pytest.mark.parametrize(("fields", "stream"), [({}, False), ({"stream": None}, False), ({"stream": True}, True)])
def test_passthrough_reads_only_model_and_stream(fields: dict[str, Any], stream: bool) -> None:
    parsed = passthrough(FakeUpstream()).decode(body(messages="whatever", **fields))

    assert (parsed.request.model, parsed.stream) == ("up-1", stream)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"model":7}', b'{"model":"m","stream":"yes"}'])
def test_passthrough_refuses_a_body_without_model_or_valid_stream(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        passthrough(FakeUpstream()).decode(data)


async def complete_body(
    relay: PassthroughRelay | TranslatedRelay, data: bytes, *, meta: ResponseMeta = IDENTITY
) -> bytes:
    response = await relay.complete_response(request(body=data), relay.decode(data), meta=meta)
    assert isinstance(response, Response)
    return response.body


async def run(relay: PassthroughRelay | TranslatedRelay, data: bytes) -> tuple[RecordingSend, bytes]:
    """The frames that a stream sends, and its last frame."""
    sent = RecordingSend()
    parsed = relay.decode(data)
    last = await relay.stream(request(body=data), parsed, meta=IDENTITY)(sent)
    return sent, last


async def test_events_and_done_are_passed_through() -> None:
    upstream = FakeUpstream(PassthroughEvent(b'{"a":1}'), PassthroughEvent(b"[DONE]"))

    assert await run(passthrough(upstream), body()) == ([b'data: {"a":1}\n\n', b"data: [DONE]\n\n"], b"")
    assert upstream.passthrough_requests == [PassthroughRequest("/chat/completions", body(), "up-1")]


async def test_non_streaming_response_is_passed_through() -> None:
    upstream = FakeUpstream()
    relay = passthrough(upstream)

    assert await complete_body(relay, body()) == b'{"as":"it is"}'
    assert upstream.passthrough_requests == [PassthroughRequest("/chat/completions", body())]


@pytest.mark.parametrize(
    ("event_type", "is_end"),
    [
        ("response.completed", True),
        ("response.incomplete", True),
        ("response.failed", True),
        ("error", True),
        ("response.created", False),
        ("", False),
    ],
)
def test_final_event_type_is_recognized(event_type: str, is_end: bool) -> None:
    assert (event_type in RESPONSES.ends) == is_end
    assert event_type not in DONE.ends


async def test_only_token_events_are_marked_as_tokens() -> None:
    token, usage = PassthroughEvent(b'{"a":1}', is_token=True), PassthroughEvent(b'{"b":1}')
    sent, _ = await run(passthrough(FakeUpstream(token, usage)), body())

    assert (len(sent), sent.tokens) == (2, sent[:1])


def test_responses_frames_have_the_event_name() -> None:
    event = PassthroughEvent(b'{"type":"x.y"}', type="x.y")
    assert RESPONSES.frame(event) == b'event: x.y\ndata: {"type":"x.y"}\n\n'
    assert RESPONSES.frame(PassthroughEvent(b"[DONE]")) == b"data: [DONE]\n\n"
    assert DONE.frame(PassthroughEvent(b"1", type="x.y")) == b"data: 1\n\n"


@pytest.mark.parametrize("form", [DONE, RESPONSES])
def test_event_type_with_a_line_break_is_not_sent_as_a_name(form: StreamFraming) -> None:
    assert form.frame(PassthroughEvent(b"1", type="a\nb")) == b"data: 1\n\n"


@pytest.mark.parametrize("form", [DONE, RESPONSES])
@pytest.mark.parametrize("data", [b"a\n\ndata: [DONE]", b"a\rb"])
def test_data_with_a_line_break_is_refused(form: StreamFraming, data: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        form.frame(PassthroughEvent(data))


@pytest.mark.parametrize("numbers", [(0, 1), (-1, -1), (0, -1), (-1, 1)])
async def test_error_frame_has_the_next_sequence_number(numbers: tuple[int, int]) -> None:
    events = [PassthroughEvent(b"{}", type="response.x", number=number) for number in numbers]
    upstream = FakeUpstream(*events)
    relay = passthrough(upstream, RESPONSES)
    run_once = relay.stream(request(body=body()), relay.decode(body()), meta=IDENTITY)
    await run_once(RecordingSend())

    assert run_once.frames == 2


# Translated


def translating(upstream: FakeUpstream) -> TranslatedRelay:
    return TranslatedRelay(upstream.as_engine(), ANTHROPIC, memory=ample_memory())


def decoded(data: bytes) -> ParsedRequest:
    return ANTHROPIC.decode(data)


async def test_response_is_encoded_in_the_dialect_of_the_request() -> None:
    events = (
        ReasoningDelta("Hm"),
        TextDelta("Hel"),
        TextDelta("lo"),
        ToolCallDelta(0, "c", "f", "{"),
        ToolCallDelta(0, "", "", "}"),
    )
    upstream = FakeUpstream(*events)
    sent, last = await run(translating(upstream), body(stream=True))
    encoder = EventEncoder(ANTHROPIC.encoder(decoded(body()), IDENTITY))

    assert sent == [encoder.frames(event) for event in events]
    assert b"message_stop" in last
    assert upstream.requests == [decoded(body()).request]


async def test_unset_options_are_not_sent_upstream() -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    sent, _ = await run(
        translating(FakeUpstream(ReasoningDelta("a"), ReasoningDelta("b"), TextDelta("c"))), body(thinking=thinking)
    )

    assert len(sent) == 2  # the reasoning tag and the text
    assert all(sent)


async def test_broken_response_has_no_end_frame() -> None:
    relay = translating(FakeUpstream(TextDelta("Hel"), failure=UpstreamReset("broke")))
    with pytest.raises(UpstreamReset):
        await run(relay, body(stream=True))


async def test_stream_waits_for_a_slow_client() -> None:
    waited: list[bytes] = []

    async def room(frame: bytes, /, *, is_token: bool = True) -> None:
        waited.append(frame)

    relay = translating(FakeUpstream(TextDelta("a"), TextDelta("b")))
    await relay.stream(request(), relay.decode(body()), meta=IDENTITY)(room)

    assert len(waited) == 2


async def test_non_streaming_response_is_translated() -> None:
    relay = translating(
        FakeUpstream(ReasoningDelta("Hm"), TextDelta("Hel"), TextDelta("lo"), ToolCallDelta(0, "c", "f", '{"a":1}'))
    )
    document = json.loads(await complete_body(relay, body()))

    assert [block["type"] for block in document["content"]] == ["thinking", "text", "tool_use"]
    assert (document["content"][1]["text"], document["content"][2]["input"]) == ("Hello", {"a": 1})
    assert document["usage"]["output_tokens"] == 5


async def test_invalid_request_is_refused_before_the_relay_connects() -> None:
    with pytest.raises(InvalidRequest):
        translating(FakeUpstream()).decode(b"{}")
    with pytest.raises(InvalidRequest):
        TranslatedRelay(FakeUpstream().as_engine(), OPENAI_CHAT, memory=ample_memory()).decode(b"{}")


@pytest.mark.parametrize("stream", [True, False])
async def test_interleaved_tool_calls_are_ordered_for_every_dialect(stream: bool) -> None:
    events = (ToolCallDelta(0, "a", "f", ""), ToolCallDelta(1, "a", "g", "{}"), ToolCallDelta(0, "", "", "{}"))
    relay = translating(FakeUpstream(*events))
    if stream:
        sent, last = await run(relay, body(stream=True))
        encoded = b"".join(sent) + last
    else:
        encoded = await complete_body(relay, body())

    assert encoded.index(b'"name":"f"') < encoded.index(b'"name":"g"')
    assert encoded.count(b'"id":"a"') == 1  # ids are unique
    assert b'"stop_reason":"tool_use"' in encoded


async def test_duration_of_a_response_with_one_event_is_its_total_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenfall.api.relays.time", lambda: 1_000.0)
    relay = TranslatedRelay(FakeUpstream(TextDelta("a")).as_engine(), OLLAMA_CHAT, memory=ample_memory())
    document = json.loads(await complete_body(relay, body(), meta=ResponseMeta("0", 999.0, "m")))

    assert document["prompt_eval_duration"] == 1
    assert document["eval_duration"] == document["total_duration"]


async def test_missing_upstream_logprobs_are_not_simulated() -> None:
    relay = TranslatedRelay(FakeUpstream(TextDelta("a")).as_engine(), OLLAMA_CHAT, memory=ample_memory())

    assert b"logprobs" not in await complete_body(relay, body(logprobs=True, top_logprobs=2))


@pytest.mark.parametrize("dialect", [OLLAMA_CHAT, with_context(OLLAMA_GENERATE)], ids=lambda each: str(each.name))
async def test_upstream_logprobs_are_sent_with_their_text(dialect: Dialect) -> None:
    events = (
        ToolCallDelta(0, "c1", "f", "{"),
        TextDelta("a", b'{"token":"a","logprob":-1}'),
        ToolCallDelta(0, "", "", "}"),
        TextDelta("b", b'{"token":"b","logprob":-1}'),
        TextDelta("c"),
    )
    upstream = FakeUpstream(*events)
    relay = TranslatedRelay(upstream.as_engine(), dialect, memory=ample_memory())
    question = body(logprobs=True, top_logprobs=2, prompt="Hi")
    response = json.loads(await complete_body(relay, question))
    sent = RecordingSend()
    await relay.stream(request(), relay.decode(question), meta=IDENTITY)(sent)

    lines = [json.loads(line) for line in b"".join(sent).splitlines()]
    tokens = [[each["token"] for each in line.get("logprobs", ())] for line in lines]
    assert tokens == [[], ["a"], ["b"], []]
    assert [each["token"] for each in response["logprobs"]] == ["a", "b"]
    assert [each.logprobs for each in upstream.requests] == [2, 2]


@pytest.mark.parametrize("stream", [True, False])
async def test_functions_are_translated_to_tools_and_their_call_back(stream: bool) -> None:
    upstream = FakeUpstream(ToolCallDelta(2, "c", "look", "{"), ToolCallDelta(2, "", "", "}"))
    relay = TranslatedRelay(upstream.as_engine(), OPENAI_CHAT, memory=ample_memory())
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
        {"role": "function", "name": "look", "content": "r"},
    ]
    data = body(messages=history, functions=[{"name": "look"}], function_call={"name": "look"}, stream=stream)
    if stream:
        sent, last = await run(relay, data)
        encoded = b"".join(sent) + last
        assert b'"delta":{"function_call":{"name":"look","arguments":""}}' in encoded
        assert encoded.count(b'"delta":{"function_call":{"arguments":') == 2
    else:
        encoded = await complete_body(relay, data)
        assert b'"function_call":{"name":"look","arguments":"{}"}' in encoded

    assert b'"finish_reason":"function_call"' in encoded
    assert b"tool_calls" not in encoded
    document = json.loads(encode_request(upstream.requests[0]))
    assert document["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert [message.get("tool_call_id") for message in document["messages"]] == [None, None, "function_call_1"]
    assert document["messages"][1]["tool_calls"][0]["id"] == "function_call_1"


USAGE_FIELDS = {
    ANTHROPIC: ("input_tokens", "output_tokens"),
    OLLAMA_CHAT: ("prompt_eval_count", "eval_count"),
    with_context(OLLAMA_GENERATE): ("prompt_eval_count", "eval_count"),
    OPENAI_CHAT: ("prompt_tokens", "completion_tokens"),
    GROQ_CHAT: ("prompt_tokens", "completion_tokens"),
    OPENAI_COMPLETIONS: ("prompt_tokens", "completion_tokens"),
    OPENAI_RESPONSES: ("input_tokens", "output_tokens"),
}


@pytest.mark.parametrize("reported", [None, Usage(0, 0), Usage(11, 0), Usage(0, 2)], ids=str)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", USAGE_FIELDS, ids=lambda each: str(each.name))
async def test_counts_that_the_upstream_did_not_send_are_estimated(
    dialect: Dialect, stream: bool, reported: Usage | None
) -> None:
    upstream = FakeUpstream(TextDelta("Hel"), TextDelta("lo"), finished=Finished("stop", "up-1", reported))
    relay = TranslatedRelay(upstream.as_engine(), dialect, memory=ample_memory())
    fields: dict[str, Any] = {"input": "Hi"} if dialect is OPENAI_RESPONSES else {"prompt": "Hi"}
    if stream and dialect in (OPENAI_CHAT, GROQ_CHAT, OPENAI_COMPLETIONS):
        fields["stream_options"] = {"include_usage": True}
    data = body(stream=stream, **fields)
    meta = replace(IDENTITY, prompt_tokens=11)
    if stream:
        sent = RecordingSend()
        encoded = await relay.stream(request(body=data), relay.decode(data), meta=meta)(sent)
    else:
        encoded = await complete_body(relay, data, meta=meta)

    counts = [re.findall(rb'"%b":(\d+)' % name.encode(), encoded)[-1] for name in USAGE_FIELDS[dialect]]
    assert counts == [b"11", b"2"]


async def test_queued_events_over_the_memory_limit_end_the_response() -> None:
    metrics = Metrics()
    memory = ResponseMemory(100, metrics)
    events = (TextDelta("é" * 40), TextDelta("b", b'{"token":"b"}'), ReasoningDelta("c" * 20))
    relay = TranslatedRelay(FakeUpstream(*events).as_engine(), OLLAMA_CHAT, memory=memory)
    with pytest.raises(ResponseMemoryFull):
        await complete_body(relay, body())

    assert metrics.response_memory_bytes == 0


def test_request_that_only_fills_the_prompt_cache_is_not_relayed() -> None:
    relay = TranslatedRelay(FakeUpstream().as_engine(), ANTHROPIC, memory=ample_memory())
    with pytest.raises(InvalidRequest) as caught:
        relay.decode(body(max_tokens=0))

    assert caught.value.param == "max_tokens"
    assert ANTHROPIC.decode(body(max_tokens=0)).request.max_tokens == 0
