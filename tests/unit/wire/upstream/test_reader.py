import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.errors import UpstreamMalformed, UpstreamStreamError
from tokenfall.events import Finished, FinishReason, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tokenfall.wire.upstream.reader import ResponseReader

from tests.doubles.pieces import Cut, one_by_one, whole

DONE = b"data: [DONE]\n\n"
COUNTED = {"prompt_tokens": 3, "completion_tokens": 2}
FINISHED = Finished("stop", "")
HIGH, LOW = "\ud83d", "\ude00"


def by_event(data: bytes) -> list[bytes]:
    """One read per event, which is the usual case and has a shorter path."""
    return re.findall(rb".*?\n\n|.+", data, re.DOTALL)


def read(stream: bytes, cut: Cut = whole, *, logprobs: bool = False) -> list[Any]:
    """The events up to the end; type and message of the error that broke the stream, if one did."""
    reader = ResponseReader(logprobs=logprobs)
    events: list[Any] = []
    for data in cut(stream):
        events += reader.feed(data)
        if reader.broken is not None:
            return [*events, (type(reader.broken), reader.broken.message)]
        if events and isinstance(events[-1], Finished):
            break
    return events


def chunk(**fields: object) -> bytes:
    return b"data: %b\n\n" % json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, **fields}).encode()


def delta(given_: object, **fields: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": given_, "finish_reason": None}], **fields)


def text(content: str, **fields: object) -> bytes:
    return delta({"role": "assistant", "content": content}, **fields)


def finish(reason: str | None, **fields: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": {}, "finish_reason": reason}], **fields)


def call(index: int, name: str, arguments: object) -> bytes:
    return delta({"tool_calls": [{"index": index, "function": {"name": name, "arguments": arguments}}]})


def choice(index: int, content: str | None, reason: str | None = None) -> dict[str, object]:
    return {"index": index, "delta": {} if content is None else {"content": content}, "finish_reason": reason}


def failed(message: str) -> tuple[type, str]:
    return UpstreamStreamError, f"the upstream's stream failed{message}"


A, B, HM = TextDelta("a"), TextDelta("b"), ReasoningDelta("hm")
MALFORMED = (UpstreamMalformed, "the upstream sent an event that is not a valid chunk")
NAN = b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":NaN}}}]}}]}\n\n'
NAMED = {"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": ""}}
UNNAMED = {"index": 0, "id": None, "function": {"name": None, "arguments": "x"}}
MESSAGE = {"index": 0, "message": {"content": "ab"}, "finish_reason": "length"}
OTHER_FIRST = [choice(1, "b"), choice(0, "a")]

STREAMS: dict[str, tuple[bytes, list[Any]]] = {
    "text and usage": (
        text("Hel", model="m-1") + text("lo") + finish("stop") + chunk(choices=[], usage=COUNTED) + DONE,
        [TextDelta("Hel"), TextDelta("lo"), Finished("stop", "m-1", Usage(3, 2))],
    ),
    "reasoning and calls in their order": (
        delta({"reasoning_content": "a"}, model="m-1")
        + delta({"reasoning": "b", "content": "c"})
        + delta({"content": None, "tool_calls": None})
        + delta({"tool_calls": [NAMED, UNNAMED, {}]})
        + finish("tool_calls", usage=COUNTED)
        + chunk(choices=[])
        + DONE,
        [
            ReasoningDelta("a"),
            ReasoningDelta("b"),
            TextDelta("c"),
            ToolCallDelta(0, "c0", "f", ""),
            ToolCallDelta(0, "", "", "x"),
            Finished("tool_calls", "m-1", Usage(3, 2)),
        ],
    ),
    "nonstandard chunk among others": (text("a") + delta({"content": ["b"]}) + text("a"), [A, B, A]),
    "no output": (text("") + delta({"content": None}) + chunk() + chunk(choices=[]), []),
    "only the first choice": (chunk(choices=[{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]), [A]),
    "choices of another index": (
        chunk(choices=[choice(0, "a")])
        + chunk(choices=[choice(1, "b")])
        + chunk(choices=OTHER_FIRST)
        + chunk(choices=[choice(1, None, "length"), choice(1, "b")])
        + finish("stop")
        + DONE,
        [A, A, FINISHED],
    ),
    "without done": (text("a") + finish("stop"), [A]),
    "text after done": (text("a") + DONE + text("b"), [A, FINISHED]),
    "done with a space": (text("a") + b"data: [DONE] \n\n", [A, FINISHED]),
    "done with an event name": (text("a") + b"event: done\ndata: [DONE]\n\n", [A, FINISHED]),
    "chunk with an event name": (b"event: message\n" + text("a") + DONE, [A, FINISHED]),
    "message after deltas": (text("a") + text("b") + chunk(choices=[MESSAGE]) + DONE, [A, B, Finished("length", "")]),
    "message beside a null delta": (text("a") + chunk(choices=[{**MESSAGE, "delta": None}]), [A]),
    "message beside a delta": (text("a") + chunk(choices=[{**MESSAGE, "delta": {"content": "b"}}]), [A, B]),
    "messages without deltas": (
        b"".join(chunk(choices=[{"index": 0, "message": {"content": content}}]) for content in "ab") + DONE,
        [A, B, FINISHED],
    ),
    "refusal": (
        delta({"content": None, "refusal": ""})
        + delta({"refusal": "a"})
        + delta({"refusal": "b"})
        + finish("stop")
        + DONE,
        [A, B, Finished("content_filter", "", refused=True)],
    ),
    "truncated refusal": (delta({"refusal": "a"}) + finish("length") + DONE, [A, Finished("length", "")]),
    "surrogate halves in arguments": (
        call(0, "f", HIGH) + call(1, "g", HIGH) + call(0, "", LOW) + call(1, "", "x") + call(1, "", HIGH) + DONE,
        [
            ToolCallDelta(0, "", "f", ""),
            ToolCallDelta(1, "", "g", ""),
            ToolCallDelta(0, "", "", "\U0001f600"),
            ToolCallDelta(1, "", "", "\ufffdx"),
            ToolCallDelta(1, "", "", ""),
            ToolCallDelta(1, "", "", "\ufffd"),
            FINISHED,
        ],
    ),
    **{
        f"end {end!r}": (text("a") + finish("stop") + end, [A, FINISHED])
        for end in (b"data: [DONE]\n", b"data:[DONE]\n", b"data: [DONE]\r\n")
    },
    **{
        f"line end {end!r}": (b"\xef\xbb\xbf" + (text("a") + text("b") + DONE).replace(b"\n", end), [A, B, FINISHED])
        for end in (b"\r", b"\n", b"\r\n")
    },
    **{
        f"no event: {empty!r}": (text("a") + empty + text("b") + DONE, [A, B, FINISHED])
        for empty in (
            b"data:\n\n",
            b"data: \n\n",
            b"data: null\n\n",
            b"event: x\ndata:\n\n",
            b"data: {}\n\n",
            b'data: {"choices":null}\n\n',
            b'data: {"choices":[null]}\n\n',
            b'data: {"choices":[{"delta":null}]}\n\n',
            b'data: {"choices":[{}]}\n\n',
            b'data: {"choices":[{"delta":{"content":[]}}]}\n\n',
        )
    },
    **{
        f"text in {given_!r}": (chunk(choices=choices), [A])
        for given_ in (
            {"message": {"content": "a"}},
            {"delta": None, "message": {"content": "a"}},
            {"text": "a"},
            {"delta": {"content": "a"}, "message": {"content": "the whole"}},
        )
        for choices in ([given_], given_)
    },
}

BROKEN: dict[str, tuple[bytes, tuple[type, str]]] = {
    **{
        repr(data[:70]): (data + b"\n\n", MALFORMED)
        for data in (
            b"data: [D]",
            b"data: DONE",
            b'data: "[DONE]"',
            b"data: 7",
            b"data: junk",
            b"data: []",
            b"data: {",
            b'data: {"choices":7}',
            b'data: "\xff"',
            b"data: " + b"[" * 100_000,
            b'data: {"choices":"a"}',
            NAN.strip(),
            b'{"choices":[{"message":{"content":"Hi"}}]}',
        )
    },
    **{
        repr(data[:70]): (data + b"\n\n", failed(message))
        for data, message in (
            (b'data: {"error":{"message":"overloaded","type":"x"}}', ": overloaded"),
            (b'data: {"error":"busy"}', ": busy"),
            (b'data: {"error":{}}', ""),
            (b'data: {"error":7}', ": 7"),
            (b'data: {"error":"%b"}' % (b"x" * 400), ": " + "x" * 300),
            (b'event: error\ndata: {"message":"busy"}', ": busy"),
            (b'event: error\ndata: {"choices":[{"delta":{"content":"x"}}]}', ""),
            (b"event: error\ndata: busy", ": busy"),
            (b'event: ERROR\ndata: {"message":"busy"}', ": busy"),
            (b'event: internalServerException\ndata: {"message":"busy"}', ": busy"),
            (b'event: error\ndata: "busy"', ": busy"),
            (b"event: error\ndata:", ""),
            (b"event: error\ndata: null", ""),
            (b'error: {"code":500,"message":"no slot","type":"server_error"}', ": no slot"),
            (b'data: {"object":"error","message":"busy","code":50000}', ": busy"),
            (b'data: {"error_message":"busy"}', ": busy"),
            (b'data: {"choices":[{"delta":{"content":"x"}}],"error_message":"busy"}', ": busy"),
            (b'data: {"detail":"busy"}', ": busy"),
            (b'data: {"detail":[{"loc":["body"],"msg":"busy"}]}', ": body: busy"),
            (b'data: {"message":"busy","code":"overloaded"}', ": busy"),
            (b'data: [{"error":{"message":"busy"}}]', ": busy"),
            (b'data: {"choices":[{"error":{"message":"busy"},"finish_reason":"error"}]}', ": busy"),
            (b'data: {"choices":[{"delta":{},"finish_reason":"error"}],"error":{"message":"busy"}}', ": busy"),
            (b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}', ""),
            (b'{"error":{"message":"busy"}}', ": busy"),
            (b'{"detail":"busy"}', ": busy"),
        )
    },
    **{
        reason: (finish(reason), failed(f": the response ended with {reason}"))
        for reason in (
            "abort",
            "insufficient_system_resource",
            "MALFORMED_FUNCTION_CALL",
            "function_call_filter: MALFORMED_FUNCTION_CALL",
            "network_error",
            "cancelled",
        )
    },
}


@pytest.mark.parametrize("cut", [whole, by_event, one_by_one])
def test_stream_gives_its_events_however_it_is_cut(cut: Cut) -> None:
    expected = {name: events for name, (_, events) in STREAMS.items()}

    assert {name: read(stream, cut) for name, (stream, _) in STREAMS.items()} == expected


@pytest.mark.parametrize("cut", [whole, by_event, one_by_one])
def test_broken_stream_gives_the_events_before_and_the_error(cut: Cut) -> None:
    expected = {name: [A, B, error] for name, (_, error) in BROKEN.items()}

    assert {name: read(text("a") + text("b") + end + DONE, cut) for name, (end, _) in BROKEN.items()} == expected


@given(st.lists(st.text(min_size=1)))
def test_any_text_round_trips(texts: list[str]) -> None:
    stream = b"".join(map(text, texts)) + DONE

    assert read(stream) == read(stream, one_by_one) == [*map(TextDelta, texts), FINISHED]


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]}


@pytest.mark.parametrize("cut", [whole, by_event, one_by_one])
@pytest.mark.parametrize(
    ("given_", "events"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, [TextDelta("ab")]),
        ({"content": ["a", None, {"type": "text"}, {"type": "image_url", "image_url": {}}]}, [A]),
        ({"content": {"type": "output_text", "text": "a"}}, [A]),
        ({"content": [THINKING, {"type": "text", "text": "a"}]}, [HM, A]),
        ({"content": [{"type": "thinking", "thinking": "hm"}]}, [HM]),
        ({"content": [{"type": "refusal", "refusal": "a"}]}, [A]),
        ({"content": [{"type": 7, "text": "a"}]}, [A]),
        ({"content": [{"text": {"text": {"text": {"text": "a"}}}}]}, []),
        ({"content": 7}, [TextDelta("7")]),
        ({"content": True}, []),
        ("a", [A]),
        ({"reasoning": {"text": "hm"}}, [HM]),
        ({"thinking": "hm"}, [HM]),
        ({"thinking": "hm", "content": "a"}, [HM, A]),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, [HM]),
        ({"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}, {}]}, [HM]),
        ({"reasoning": "hm", "reasoning_details": [{"text": "hm"}]}, [HM]),
        ({"reasoning_content": "hm", "reasoning": "hm"}, [HM]),
        ({"reasoning_content": "", "reasoning": None, "content": "a"}, [A]),
        ({"refusal": "a"}, [A]),
        ({"refusal": ["a", "!"]}, [TextDelta("a!")]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_delta_in_every_known_form_is_read(cut: Cut, given_: object, events: list[Any]) -> None:
    assert read(delta(given_), cut) == events


REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "eos": "stop",
    "MAX_TOKENS": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "SAFETY": "content_filter",
    "content_filter: PROHIBITED_CONTENT": "content_filter",
    "guardrail_intervened": "content_filter",
}
NUMBERS: list[tuple[object, int]] = [
    (3.0, 3), ("3", 3), ("3.0", 3), (None, 0), ("x", 0), ([], 0), ({}, 0), (-1, 0), ("inf", 0), ("nan", 0),
]  # fmt: skip
ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize(
    ("stream", "finished"),
    [
        *((finish(reason), Finished(expected, "")) for reason, expected in REASONS.items()),
        (finish("refusal"), Finished("content_filter", "", refused=True)),
        (finish("length") + finish(""), Finished("length", "")),
        (finish("length") + finish(None), Finished("length", "")),
        (text("a", model="m-1") + finish("stop", model=None), Finished("stop", "m-1")),
        (text("a", model="m-1") + text("b", model="m-2") + finish("stop", model=""), Finished("stop", "m-2")),
        (delta({"content": ["a"]}, model="m\ud800"), Finished("stop", "m\ufffd")),
        (text("a", usage=ZERO), FINISHED),
        (text("a", usage={"prompt_tokens": 1, "completion_tokens": 1}), Finished("stop", "", Usage(1, 1))),
        *(
            (text("a", usage=ZERO) + chunk(**fields) + chunk(choices=[], usage=ZERO), Finished("stop", "", Usage(3, 2)))
            for fields in (
                {"choices": [], "usage": COUNTED},
                {"usage": COUNTED},
                {"choices": None, "usage": {"input_tokens": 3, "output_tokens": 2}},
                {"choices": [{"delta": {}, "usage": COUNTED}]},
                {"choices": [{"delta": {}}], "x_groq": {"id": "req", "usage": COUNTED}},
                {"choices": [], "x_groq": {"usage": COUNTED}, "usage": {}},
                {"message": {"usage": COUNTED}},
            )
        ),
        (text("a", x_groq={"id": "req"}), FINISHED),
        *(
            (
                finish("stop", usage={"prompt_tokens": number, "completion_tokens": 2}),
                Finished("stop", "", Usage(count, 2)),
            )
            for number, count in NUMBERS
        ),
        *(
            (chunk(choices=[{"delta": {}, "finish_reason": "stop", name: value}]), Finished("stop", "", stop=stop))
            for name in ("stop_reason", "matched_stop")
            for value, stop in (("END", "END"), (7, ""), (None, ""), (1.5, ""), ("END\ud83d", "END\ufffd"))
        ),
    ],
)
def test_stream_ends_with_reason_model_usage_and_stop(stream: bytes, finished: Finished) -> None:
    assert read(stream + DONE)[-1] == finished


# Halves of surrogate pairs


@pytest.mark.parametrize("cut", [whole, one_by_one])
@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        ([HIGH, LOW], "\U0001f600"),
        (["a" + HIGH, LOW + "b"], "a\U0001f600b"),
        (["a" + HIGH, "", LOW], "a\U0001f600"),
        (["a" + HIGH + LOW + HIGH, LOW], "a\U0001f600\U0001f600"),
        ([HIGH, "b"], "\ufffdb"),
        ([HIGH, "é"], "\ufffdé"),
        ([HIGH, HIGH, LOW], "\ufffd\U0001f600"),
        ([LOW, "b"], "\ufffdb"),
        (["a", HIGH], "a\ufffd"),
    ],
)
@pytest.mark.parametrize(("name", "kind"), [("content", TextDelta), ("reasoning", ReasoningDelta)])
def test_surrogate_halves_are_joined_across_chunks_or_replaced(
    cut: Cut, texts: list[str], joined: str, name: str, kind: type
) -> None:
    *events, _ = read(b"".join(delta({name: each}) for each in texts) + DONE, cut)

    assert {type(event) for event in events} == {kind}
    assert "".join(event.text for event in events) == joined


@given(st.lists(st.text(min_size=1), max_size=8))
def test_any_text_split_between_utf16_units_round_trips(texts: list[str]) -> None:
    units = "".join(texts).encode("utf-16-le")
    halves = [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]
    *events, _ = read(b"".join(map(text, halves)) + DONE)

    assert "".join(event.text for event in events) == "".join(texts)


# Log probabilities


def with_logprobs(given_: object, *tokens: object, **fields: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": given_, "logprobs": {"content": list(tokens), **fields}}])


def test_log_probabilities_are_read_with_their_text_if_requested() -> None:
    a, b = ({"token": token, "logprob": -0.5, "bytes": [97], "top_logprobs": []} for token in "ab")
    stream = (
        with_logprobs({"content": "a"}, a)
        + with_logprobs({"content": "ab"}, a, b)
        + text("c")
        + with_logprobs({"content": "b"}, refusal=[b])
        + with_logprobs(None, a)
        + with_logprobs({"reasoning": "hm"}, b)
        + with_logprobs({"content": "d", "thinking": "hm"}, {"token": "\ud800", "logprob": -1})
    )
    deltas = [event for event in read(stream, logprobs=True) if isinstance(event, TextDelta)]

    tokens = [[each["token"] for each in json.loads(b"[%b]" % event.logprobs)] for event in deltas]
    assert [(event.text, *each) for event, each in zip(deltas, tokens, strict=True)] == [
        ("a", "a"),
        ("ab", "a", "b"),
        ("c",),
        ("b", "b"),
        ("", "a"),
        ("", "b"),
        ("d", "\ufffd"),
    ]
    assert not any(event.logprobs for event in read(stream) if isinstance(event, TextDelta))
