import json
from typing import Any

import pytest

from tokenfall.api.simulated_response import choices_of, frames
from tokenfall.events import Finished, OutputEvent, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tokenfall.http.encoding import chunk
from tokenfall.messages import ToolCall
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.planning import Plan, PlannedPart, PlannedResponse, plan
from tokenfall.slicing.computation import at_once
from tokenfall.wire.anthropic.response import ANTHROPIC
from tokenfall.wire.dialect import Dialect, ModelResponse, ParsedRequest, ResponseMeta, ResponseTiming
from tokenfall.wire.dialects import DIALECTS
from tokenfall.wire.event_encoder import EventEncoder
from tokenfall.wire.openai.response import GROQ_CHAT, OPENAI_CHAT

IDENTITY = ResponseMeta("0123456789abcdef01234567", 1_700_000_000.5, "sim", 3)
TIMING = ResponseTiming(total_s=1.5, first_token_s=0.5)
TEXT = PlannedPart(["Hello", " wor\nld", " \u2028"])
THOUGHTS = PlannedPart(["Hm", "."], thought=True)
CALLS = (
    PlannedPart(['{"a":', " 1}"], call=ToolCall("call_0", "f", "")),
    PlannedPart(["{}"], call=ToolCall("call_1", "g", "")),
)
PLANS = {
    "text": (TEXT,),
    "thoughts": (THOUGHTS, TEXT),
    "calls": CALLS,
    "thoughts and calls": (THOUGHTS, *CALLS),
}
PROMPTED = {"openai.completions", "ollama.generate"}


def parsed_request(dialect: Dialect, **fields: Any) -> ParsedRequest:
    messages = [{"role": "user", "content": "Hi"}]
    members = {"prompt": "Hi"} if dialect.name in PROMPTED else {"messages": messages, "input": "Hi"}
    body = {"model": "sim", "max_tokens": 9_000, "stream": True, **members}
    return dialect.decode(json.dumps(body | fields).encode())


def planned(*choices: tuple[PlannedPart, ...]) -> Plan:
    token_count = sum(len(part.tokens) for parts in choices for part in parts)
    responses = tuple(PlannedResponse(parts, "tool_calls" if parts[-1].call else "stop") for parts in choices)
    gaps = at_once(plan(parsed_request(OPENAI_CHAT).request, parse("gap=1s,ttft=2s"), call_ids="")).gaps
    return Plan(responses, Usage(3, token_count), gaps)


def events(parts: tuple[PlannedPart, ...]) -> list[OutputEvent]:
    """The events of an upstream with the same response."""
    expected: list[OutputEvent] = []
    index = -1
    for part in parts:
        if part.call is not None:
            index += 1
            first, *rest = part.tokens
            expected.append(ToolCallDelta(index, part.call.id, part.call.name, first))
            expected += [ToolCallDelta(index, "", "", token) for token in rest]
        else:
            expected += [ReasoningDelta(token) if part.thought else TextDelta(token) for token in part.tokens]
    return expected


def finished(plan_: Plan) -> Finished:
    return Finished(plan_.choices[0].reason, "sim", plan_.usage)


def framed(
    plan_: Plan, dialect: Dialect, request: ParsedRequest | None = None, *, chunked: bool = False
) -> list[bytes]:
    encoder = dialect.encoder(request or parsed_request(dialect), IDENTITY)
    return list(frames(plan_, encoder, finished=finished(plan_), timing=lambda: TIMING, chunked=chunked))


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_simulator_and_relay_send_the_same_bytes(dialect: Dialect, kind: str) -> None:
    plan_ = planned(PLANS[kind])
    event_encoder = EventEncoder(dialect.encoder(parsed_request(dialect), IDENTITY))
    encoded = b"".join(map(event_encoder.frames, events(PLANS[kind])))

    assert b"".join(framed(plan_, dialect)) == encoded + event_encoder.end(finished(plan_), TIMING)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_response_has_a_frame_per_token_and_an_end_frame(dialect: Dialect) -> None:
    tokens = ["Hello", " world", "!"]
    *token_frames, end = framed(planned((PlannedPart(tokens),)), dialect)

    assert all(f'"{token}"'.encode() in frame for token, frame in zip(tokens, token_frames, strict=True))
    assert end


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_chunked_coding_encodes_each_frame_as_one_chunk(dialect: Dialect) -> None:
    plan_ = planned((TEXT,))

    assert framed(plan_, dialect, chunked=True) == [chunk(frame) for frame in framed(plan_, dialect)]


def test_first_frame_opens_the_response() -> None:
    first, second, *_ = framed(planned((TEXT,)), OPENAI_CHAT)

    assert b'"role":"assistant"' in first
    assert first.count(b"data: ") == 2
    assert second.count(b"data: ") == 1


def test_choices_are_sent_one_after_another() -> None:
    token_frames = framed(planned((TEXT,), (TEXT,)), OPENAI_CHAT, parsed_request(OPENAI_CHAT, n=2))

    assert len(token_frames) == 2 * len(TEXT.tokens) + 1
    assert [b'"index":1' in frame for frame in token_frames[:6]] == [False] * 3 + [True] * 3
    assert b'"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"' in token_frames[3]


def test_tokens_with_logprobs_have_a_frame_each() -> None:
    token_frames = framed(planned((TEXT,)), OPENAI_CHAT, parsed_request(OPENAI_CHAT, logprobs=True))

    assert len(token_frames) == len(TEXT.tokens) + 1
    assert all(b'"logprobs":{' in frame for frame in token_frames[:3])


def test_hidden_tokens_have_no_frames() -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    token_frames = framed(planned((THOUGHTS, TEXT)), ANTHROPIC, parsed_request(ANTHROPIC, thinking=thinking))

    assert b"Hm" not in b"".join(token_frames)
    assert all(token_frames)


def test_response_without_tokens_is_its_end_frame() -> None:
    (only,) = framed(planned((PlannedPart([]),)), OPENAI_CHAT)

    assert only.endswith(b"data: [DONE]\n\n")


def test_end_frame_is_sent_at_its_time() -> None:
    token_frames = framed(planned((TEXT,)), GROQ_CHAT)

    assert b'"total_time":1.5' in token_frames[-1]


# Non-streaming responses


def document(plan_: Plan, dialect: Dialect, **fields: Any) -> dict[str, Any]:
    request = parsed_request(dialect, stream=False, **fields)
    response = ModelResponse(meta=IDENTITY, choices=at_once(choices_of(plan_)), finished=finished(plan_), timing=TIMING)
    encoded: dict[str, Any] = json.loads(b"".join(dialect.encode_response(request, response)))
    return encoded


def test_non_streaming_response_has_all_parts() -> None:
    encoded = document(planned((THOUGHTS, TEXT, *CALLS), (TEXT,)), OPENAI_CHAT)
    first, second = (choice["message"] for choice in encoded["choices"])

    assert (first["content"], first["reasoning_content"]) == ("Hello wor\nld \u2028", "Hm.")
    assert [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in first["tool_calls"]] == [
        ("call_0", "f", '{"a": 1}'),
        ("call_1", "g", "{}"),
    ]
    assert second["content"] == first["content"]
    assert encoded["usage"]["completion_tokens"] == 2 + 3 + 3 + 3


def test_tokens_of_a_non_streaming_response_have_logprobs() -> None:
    encoded = document(planned((THOUGHTS, TEXT)), OPENAI_CHAT, logprobs=True)

    assert [each["token"] for each in encoded["choices"][0]["logprobs"]["content"]] == TEXT.tokens
