import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.errors import UpstreamMalformed, UpstreamStreamError
from tokenfall.events import Finished, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tokenfall.wire.upstream.reader import ResponseReader

from tests.doubles.pieces import Cut, one_by_one, whole

DONE = b"data: [DONE]\n\n"


def chunk(**fields: object) -> bytes:
    return b"data: %b\n\n" % json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, **fields}).encode()


def text_chunk(text: str, **fields: object) -> bytes:
    return chunk(
        choices=[{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}], **fields
    )


def finish(reason: str, **fields: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": {}, "finish_reason": reason}], **fields)


def events_until_error(pieces: Iterable[bytes], reader: ResponseReader) -> list[Any]:
    """The events up to an error."""
    events: list[Any] = []
    for each in pieces:
        events += reader.feed(each)
        if reader.broken is not None:
            break
    return events


def read(pieces: Iterable[bytes]) -> list[Any]:
    reader = ResponseReader()
    events = events_until_error(pieces, reader)
    if reader.broken is not None:
        raise reader.broken
    return events


def read_until_broken(pieces: Iterable[bytes]) -> list[Any]:
    """The events before the error that broke the stream."""
    reader = ResponseReader()
    events = events_until_error(pieces, reader)
    assert reader.broken is not None
    return events


# Chunks to events


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_stream_gives_its_tokens_and_finished(feed: Cut) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    stream = text_chunk("Hel", model="m-1") + text_chunk("lo") + finish("stop") + chunk(choices=[], usage=usage) + DONE

    assert read(feed(stream)) == [TextDelta("Hel"), TextDelta("lo"), Finished("stop", "m-1", Usage(3, 2))]


@given(st.lists(st.text(min_size=1)))
def test_any_text_round_trips(texts: list[str]) -> None:
    stream = b"".join(map(text_chunk, texts)) + DONE
    expected = [*map(TextDelta, texts), Finished("stop", "")]

    assert read([stream]) == expected
    assert read(one_by_one(stream)) == expected


def test_single_event_in_a_read_may_be_done_or_a_nonstandard_chunk() -> None:
    variant = chunk(choices=[{"delta": {"content": [{"type": "text", "text": "b"}]}}])

    assert read([text_chunk("a"), variant, text_chunk("c"), DONE]) == [
        TextDelta("a"),
        TextDelta("b"),
        TextDelta("c"),
        Finished("stop", ""),
    ]


def test_single_error_event_in_a_read_breaks_the_stream() -> None:
    assert read_until_broken([text_chunk("a"), chunk(error={"message": "overloaded"}), text_chunk("b")]) == [
        TextDelta("a")
    ]


def test_usage_without_any_count_is_none() -> None:
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

    assert read([text_chunk("a", usage=nothing) + DONE])[-1] == Finished("stop", "", None)
    assert read([text_chunk("a", usage=COUNTED) + chunk(choices=[], usage=nothing) + DONE])[-1] == Finished(
        "stop", "", Usage(3, 2)
    )


def test_usage_in_x_groq_is_read() -> None:
    counted = {"id": "req", "usage": {"prompt_tokens": 7, "completion_tokens": 8}}

    assert read([finish("stop", x_groq=counted) + DONE]) == [Finished("stop", "", Usage(7, 8))]
    assert read([text_chunk("Hi", x_groq={"id": "req"}) + DONE]) == [TextDelta("Hi"), Finished("stop", "")]


def test_chunk_without_output_gives_no_event() -> None:
    stream = text_chunk("") + chunk(choices=[{"index": 0, "delta": {"content": None}}]) + chunk() + chunk(choices=[])

    assert read([stream]) == []


def test_only_the_first_choice_is_read() -> None:
    choices = [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]

    assert read([chunk(choices=choices)]) == [TextDelta("a")]


def test_choices_of_another_index_are_skipped() -> None:
    first, other = {"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}
    ended_other = {"index": 1, "delta": {}, "finish_reason": "length"}
    stream = b"".join(chunk(choices=each) for each in ([first], [other], [other, first], [ended_other, other]))

    assert read([stream, finish("stop"), DONE])[-1].reason == "stop"
    assert read([stream]) == [TextDelta("a"), TextDelta("a")]


@pytest.mark.parametrize(
    "reason",
    [
        "abort",
        "insufficient_system_resource",
        "MALFORMED_FUNCTION_CALL",
        "function_call_filter: MALFORMED_FUNCTION_CALL",
        "network_error",
        "cancelled",
    ],
)
def test_reason_of_an_incomplete_response_is_an_error(reason: str) -> None:
    with pytest.raises(UpstreamStreamError, match=f"the response ended with {reason}"):
        read([text_chunk("a") + finish(reason) + DONE])


@pytest.mark.parametrize("last", ["", None])
def test_reason_is_kept_if_a_later_chunk_has_none(last: str | None) -> None:
    stream = finish("length") + chunk(choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": last}]) + DONE

    assert read([stream])[-1].reason == "length"


def test_last_model_and_usage_are_reported() -> None:
    first, last = {"prompt_tokens": 1, "completion_tokens": 1}, {"prompt_tokens": 1, "completion_tokens": 9}
    stream = (
        text_chunk("a", model="m-1", usage=first)
        + text_chunk("b", model="m-2", usage=last)
        + finish("stop", model="")
        + DONE
    )

    assert read([stream])[-1] == Finished("stop", "m-2", Usage(1, 9))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("model_context_window_exceeded", "length"),
        ("SAFETY", "content_filter"),
        ("content_filter: PROHIBITED_CONTENT", "content_filter"),
        ("guardrail_intervened", "content_filter"),
    ],
)
def test_finish_reason_is_mapped(reason: str, expected: str) -> None:
    event = read([finish(reason) + DONE])[-1]

    assert isinstance(event, Finished)
    assert event.reason == expected


def test_stream_without_done_is_not_finished() -> None:
    assert read([text_chunk("Hi") + finish("stop")]) == [TextDelta("Hi")]
    assert read([text_chunk("Hi") + finish("stop") + DONE]) == [TextDelta("Hi"), Finished("stop", "")]


@pytest.mark.parametrize("data", [b"data: [D]\n\n", b"data: DONE\n\n", b'data: "[DONE]"\n\n', b"data: 7\n\n"])
def test_data_similar_to_done_raises_malformed(data: bytes) -> None:
    assert read_until_broken([text_chunk("Hi") + data]) == [TextDelta("Hi")]


def test_events_after_done_are_dropped() -> None:
    assert read([DONE + text_chunk("more")]) == [Finished("stop", "")]


@pytest.mark.parametrize(
    "data",
    [
        b"junk",
        b"[]",
        b"{",
        b'{"choices":7}',
        b'"\xff"',
        b"[" * 100_000,
        b'{"choices":"a"}',
        b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":NaN}}}]}}]}',
    ],
    ids=lambda data: repr(data[:40]),
)
def test_invalid_chunk_raises_malformed_without_its_content(data: bytes) -> None:
    with pytest.raises(UpstreamMalformed, match=r"^the upstream sent an event that is not a valid chunk$"):
        read([b"data: %b\n\n" % data])


@pytest.mark.parametrize(
    ("error", "shown"),
    [({"message": "overloaded", "type": "x"}, ": overloaded"), ("overloaded", ": overloaded"), ({}, ""), (7, ": 7")],
)
def test_error_event_breaks_the_stream(error: object, shown: str) -> None:
    with pytest.raises(UpstreamStreamError, match=f"^the upstream's stream failed{shown}$"):
        read([chunk(error=error)])


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize("broken", [chunk(error="overloaded"), b"data: junk\n\n"], ids=["error", "junk"])
def test_events_before_an_error_are_returned(feed: Cut, broken: bytes) -> None:
    assert read_until_broken(feed(text_chunk("Hel") + text_chunk("lo") + broken)) == [TextDelta("Hel"), TextDelta("lo")]


# Reasoning and tool calls


def events_of(pieces: Iterable[bytes], reader: ResponseReader | None = None) -> list[Any]:
    return events_until_error(pieces, reader or ResponseReader())


NAN = b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":{"a":NaN}}}]}}]}\n\n'


def piece(**delta: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}], model="m-1")


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_reasoning_and_calls_keep_their_order(feed: Cut) -> None:
    named = {"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": ""}}
    stream = (
        piece(reasoning_content="a")
        + piece(reasoning="b", content="c")
        + piece(content=None, tool_calls=None)
        + piece(tool_calls=[named, {"index": 0, "id": None, "function": {"name": None, "arguments": "x"}}, {}])
        + finish("tool_calls", usage={"prompt_tokens": 3, "completion_tokens": 2})
        + chunk(choices=[])
        + DONE
    )

    assert events_of(feed(stream)) == [
        ReasoningDelta("a"),
        ReasoningDelta("b"),
        TextDelta("c"),
        ToolCallDelta(0, "c0", "f", ""),
        ToolCallDelta(0, "", "", "x"),
        Finished("tool_calls", "m-1", Usage(3, 2)),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        chunk(error="overloaded"),
        b"data: junk\n\n",
        NAN,
    ],
)
def test_error_ends_the_events_of_a_read(broken: bytes) -> None:
    reader = ResponseReader()

    assert events_of([text_chunk("Hi") + broken + DONE], reader) == [TextDelta("Hi")]
    assert isinstance(reader.broken, UpstreamMalformed | UpstreamStreamError)


# Events that are not chunks


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize(
    "variant",
    [
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
    ],
)
def test_empty_delta_gives_no_event(feed: Cut, variant: bytes) -> None:
    assert read(feed(text_chunk("a") + variant + text_chunk("b") + DONE)) == [
        TextDelta("a"),
        TextDelta("b"),
        Finished("stop", ""),
    ]


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_done_may_have_an_event_name_and_spaces(feed: Cut) -> None:
    assert read(feed(text_chunk("a") + b"data: [DONE] \n\n")) == [TextDelta("a"), Finished("stop", "")]
    assert read(feed(text_chunk("a") + b"event: done\ndata: [DONE]\n\n")) == [TextDelta("a"), Finished("stop", "")]


def test_chunk_with_an_event_name_is_read_as_without() -> None:
    assert read([b"event: message\n" + text_chunk("a") + DONE]) == [TextDelta("a"), Finished("stop", "")]


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_every_line_end_and_a_byte_order_mark_are_accepted(feed: Cut, end: bytes) -> None:
    stream = b"\xef\xbb\xbf" + (text_chunk("Hel") + text_chunk("lo") + DONE).replace(b"\n", end)

    assert read(feed(stream)) == [TextDelta("Hel"), TextDelta("lo"), Finished("stop", "")]


# Errors inside the stream


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b'event: error\ndata: {"message":"busy"}\n\n', ": busy"),
        (b'event: error\ndata: {"choices":[{"delta":{"content":"x"}}]}\n\n', ""),
        (b"event: error\ndata: busy\n\n", ": busy"),
        (b'event: ERROR\ndata: {"message":"busy"}\n\n', ": busy"),
        (b'event: internalServerException\ndata: {"message":"busy"}\n\n', ": busy"),
        (b'event: error\ndata: "busy"\n\n', ": busy"),
        (b"event: error\ndata:\n\n", ""),
        (b"event: error\ndata: null\n\n", ""),
        (b'data: {"object":"error","message":"busy","code":50000}\n\n', ": busy"),
        (b'data: {"error_message":"busy"}\n\n', ": busy"),
        (b'data: {"choices":[{"delta":{"content":"x"}}],"error_message":"busy"}\n\n', ": busy"),
        (b'data: {"detail":"busy"}\n\n', ": busy"),
        (b'data: {"detail":[{"loc":["body"],"msg":"busy"}]}\n\n', ": body: busy"),
        (b'data: {"message":"busy","code":"overloaded"}\n\n', ": busy"),
        (b'data: [{"error":{"message":"busy"}}]\n\n', ": busy"),
        (b'data: {"choices":[{"error":{"message":"busy"},"finish_reason":"error"}]}\n\n', ": busy"),
        (
            b'data: {"choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":{"message":"busy"}}\n\n',
            ": busy",
        ),
        (b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}\n\n', ""),
        (b'{"error":{"message":"busy"}}', ": busy"),
        (b'{"detail":"busy"}', ": busy"),
        (b'data: {"error":"%b"}\n\n' % (b"x" * 400), ": " + "x" * 300),
    ],
    ids=lambda value: repr(value)[:70],
)
def test_error_in_any_form_breaks_the_stream_with_its_message(feed: Cut, stream: bytes, words: str) -> None:
    with pytest.raises(UpstreamStreamError) as caught:
        read(feed(text_chunk("Hi") + stream + DONE))

    assert caught.value.message == f"the upstream's stream failed{words}"
    assert read_until_broken(feed(text_chunk("Hi") + stream + DONE)) == [TextDelta("Hi")]


def test_complete_response_instead_of_a_stream_raises_malformed() -> None:
    with pytest.raises(UpstreamMalformed):
        read([b'{"choices":[{"message":{"content":"Hi"}}]}'])


# Nonstandard chunks


def variant(delta: object, **fields: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": delta}], **fields)


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]}


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize(
    ("delta", "events"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, [TextDelta("ab")]),
        ({"content": ["a", None, {"type": "text"}, {"type": "image_url", "image_url": {}}]}, [TextDelta("a")]),
        ({"content": {"type": "output_text", "text": "a"}}, [TextDelta("a")]),
        ({"content": [THINKING, {"type": "text", "text": "a"}]}, [ReasoningDelta("hm"), TextDelta("a")]),
        ({"content": [{"type": "thinking", "thinking": "hm"}]}, [ReasoningDelta("hm")]),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, [TextDelta("no")]),
        ({"content": [{"type": 7, "text": "a"}]}, [TextDelta("a")]),
        ({"content": [{"text": {"text": {"text": {"text": "a"}}}}]}, []),
        ({"content": 7}, [TextDelta("7")]),
        ({"content": True}, []),
        ("a", [TextDelta("a")]),
        ({"reasoning": {"text": "hm"}}, [ReasoningDelta("hm")]),
        ({"thinking": "hm"}, [ReasoningDelta("hm")]),
        ({"thinking": "hm", "content": "a"}, [ReasoningDelta("hm"), TextDelta("a")]),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, [ReasoningDelta("hm")]),
        ({"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}, {}]}, [ReasoningDelta("hm")]),
        ({"reasoning": "hm", "reasoning_details": [{"text": "hm"}]}, [ReasoningDelta("hm")]),
        ({"reasoning_content": "hm", "reasoning": "hm"}, [ReasoningDelta("hm")]),
        ({"reasoning_content": "", "reasoning": None, "content": "a"}, [TextDelta("a")]),
        ({"refusal": "no"}, [TextDelta("no")]),
        ({"refusal": ["no", "!"]}, [TextDelta("no!")]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_delta_in_every_known_form_is_read(feed: Cut, delta: object, events: list[Any]) -> None:
    assert events_of(feed(variant(delta))) == events


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "a"}},
        {"delta": None, "message": {"content": "a"}},
        {"text": "a"},
        {"delta": {"content": "a"}, "message": {"content": "the whole"}},
    ],
)
def test_text_in_nonstandard_members_is_read(choice: object) -> None:
    assert events_of([chunk(choices=[choice])]) == [TextDelta("a")]
    assert events_of([chunk(choices=choice)]) == [TextDelta("a")]


MESSAGE = {"index": 0, "message": {"content": "ab"}, "finish_reason": "length"}


@pytest.mark.parametrize("last", [MESSAGE, {**MESSAGE, "delta": None}, {**MESSAGE, "delta": {"content": ""}}])
def test_message_after_deltas_repeats_them(last: object) -> None:
    stream = text_chunk("a") + text_chunk("b") + chunk(choices=[last], usage={"prompt_tokens": 3}) + DONE

    assert read([stream]) == [TextDelta("a"), TextDelta("b"), Finished("length", "", Usage(3, 0))]


def test_every_message_is_read_if_there_are_no_deltas() -> None:
    chunks = [chunk(choices=[{"index": 0, "message": {"content": text}}]) for text in ("a", "b")]

    assert read([*chunks, DONE]) == [TextDelta("a"), TextDelta("b"), Finished("stop", "")]


def test_refusal_is_text_and_finishes_with_content_filter() -> None:
    stream = variant({"content": None, "refusal": ""}) + variant({"refusal": "I can't"}) + variant({"refusal": "."})

    assert read([stream + finish("stop") + DONE]) == [
        TextDelta("I can't"),
        TextDelta("."),
        Finished("content_filter", "", refused=True),
    ]
    assert read([stream + finish("length") + DONE])[-1] == Finished("length", "")


@pytest.mark.parametrize(
    ("given", "end"), [("refusal", "refusal"), ("content_filter", "content_filter"), ("safety", "content_filter")]
)
def test_refusal_is_distinguished_from_a_filter(given: str, end: str) -> None:
    finished = read([finish(given) + DONE])[-1]

    assert isinstance(finished, Finished)
    assert (finished.reason, finished.end_reason) == ("content_filter", end)


@pytest.mark.parametrize("field", ["stop_reason", "matched_stop"])
@pytest.mark.parametrize(
    ("value", "stop"), [("END", "END"), (7, ""), (None, ""), (1.5, ""), ("END\ud83d", "END\ufffd")]
)
def test_matched_stop_text_is_reported(field: str, value: object, stop: str) -> None:
    stream = chunk(choices=[{"delta": {}, "finish_reason": "stop", field: value}]) + DONE

    assert read([stream]) == [Finished("stop", "", stop=stop)]


@pytest.mark.parametrize("number", [3, 3.0, "3", "3.0"])
def test_numbers_may_be_floats_or_strings(number: object) -> None:
    usage = {"prompt_tokens": number, "completion_tokens": number}

    assert read([text_chunk("a", usage=usage) + DONE])[-1] == Finished("stop", "", Usage(3, 3))


@pytest.mark.parametrize("number", [None, "x", [], {}, -1, "inf", "nan"])
def test_invalid_number_counts_as_zero(number: object) -> None:
    usage = {"prompt_tokens": number, "completion_tokens": 2}

    assert read([text_chunk("a", usage=usage) + DONE])[-1] == Finished("stop", "", Usage(0, 2))


COUNTED = {"prompt_tokens": 3, "completion_tokens": 2}


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": [], "usage": COUNTED},
        {"usage": COUNTED},
        {"choices": None, "usage": {"input_tokens": 3, "output_tokens": 2}},
        {"choices": [{"delta": {}, "usage": COUNTED}]},
        {"choices": [{"delta": {}}], "x_groq": {"usage": COUNTED}},
        {"choices": [], "x_groq": {"usage": COUNTED}, "usage": {}},
        {"message": {"usage": COUNTED}},
    ],
)
def test_usage_is_found_in_any_place(fields: dict[str, Any]) -> None:
    assert read([text_chunk("a") + chunk(**fields) + DONE])[-1] == Finished("stop", "", Usage(3, 2))


def test_model_may_be_null() -> None:
    assert read([text_chunk("a", model="m-1") + finish("stop", model=None) + DONE])[-1] == Finished("stop", "m-1")
    assert read([variant({"content": ["a"]}, model="m\ud800") + DONE])[-1] == Finished("stop", "m\ufffd")


# Halves of surrogate pairs


HIGH, LOW = "\ud83d", "\ude00"


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize(
    ("texts", "whole_text"),
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
def test_surrogate_halves_are_joined_across_chunks_or_replaced(feed: Cut, texts: list[str], whole_text: str) -> None:
    def events(name: str) -> list[Any]:
        return read(feed(b"".join(piece(**{name: text}) for text in texts) + DONE))[:-1]

    assert "".join(event.text for event in events("content")) == whole_text
    assert "".join(event.text for event in events("reasoning")) == whole_text
    assert {type(event) for event in events("content")} == {TextDelta}
    assert {type(event) for event in events("reasoning")} == {ReasoningDelta}


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_surrogate_halves_in_arguments_are_joined_per_call(feed: Cut) -> None:
    pieces = [(0, "f", HIGH), (1, "g", HIGH), (0, "", LOW), (1, "", "x"), (1, "", HIGH)]
    stream = b"".join(
        piece(tool_calls=[{"index": index, "function": {"name": name, "arguments": arguments}}])
        for index, name, arguments in pieces
    )
    arguments_of = read(feed(stream + DONE))[:-1]

    assert [part.arguments for part in arguments_of] == ["", "", "\U0001f600", "\ufffdx", "", "\ufffd"]
    assert [part.index for part in arguments_of] == [0, 1, 0, 1, 1, 1]


@given(st.lists(st.text(min_size=1), max_size=8))
def test_any_text_split_between_utf16_units_round_trips(texts: list[str]) -> None:
    units = "".join(texts).encode("utf-16-le")
    halves = [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]
    events = read([b"".join(piece(content=half) for half in halves) + DONE])

    assert "".join(event.text for event in events[:-1]) == "".join(texts)


# Log probabilities

A, B = ({"token": token, "logprob": -0.5, "bytes": [97], "top_logprobs": []} for token in "ab")


def chunk_with_logprobs(delta: object, *tokens: object, **fields: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": {"content": list(tokens), **fields}}
    return chunk(choices=[choice])


def test_log_probabilities_are_read_with_their_text_if_requested() -> None:
    data = [
        chunk_with_logprobs({"content": "a"}, A),
        chunk_with_logprobs({"content": "ab"}, A, B),
        text_chunk("c"),
        chunk_with_logprobs({"content": "b"}, refusal=[B]),
        chunk_with_logprobs(None, A),
        chunk_with_logprobs({"reasoning": "hm"}, B),
        chunk_with_logprobs({"content": "d", "thinking": "hm"}, {"token": "\ud800", "logprob": -1}),
        DONE,
    ]
    reader = ResponseReader(logprobs=True)
    deltas = [event for event in events_until_error(data, reader) if isinstance(event, TextDelta)]

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
    assert not any(event.logprobs for event in read(data) if isinstance(event, TextDelta))


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize("end", [b"data: [DONE]\n", b"data:[DONE]\n", b"data: [DONE]\r\n"])
def test_done_needs_no_blank_line(feed: Cut, end: bytes) -> None:
    assert read(feed(text_chunk("Hi") + finish("stop") + end)) == [TextDelta("Hi"), Finished("stop", "")]


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_error_field_of_llama_cpp_breaks_the_stream(feed: Cut) -> None:
    broken = b'error: {"code":500,"message":"no slot","type":"server_error"}\n\n'
    reader = ResponseReader()
    events = events_until_error(feed(text_chunk("Hi") + broken), reader)

    assert events == [TextDelta("Hi")]
    assert isinstance(reader.broken, UpstreamStreamError)
    assert reader.broken.message.endswith("no slot")
