import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.errors import UpstreamMalformed, UpstreamStreamError
from tokenfall.events import CallPart, Delta, Event, Finished, Passed, Thought, Usage
from tokenfall.messages import ChatRequest, Message, Tool, ToolCall
from tokenfall.wire import openai
from tokenfall.wire.dialect import UNBOUNDED
from tokenfall.wire.openai import AnswerReader, PassingReader, RichReader
from tokenfall.wire.sse_decoder import MAX_EVENT_BYTES

from tests.doubles.pieces import Cut, one_by_one, whole

DONE = b"data: [DONE]\n\n"


def chunk(**fields: object) -> bytes:
    return b"data: %b\n\n" % json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, **fields}).encode()


def said(text: str, **fields: object) -> bytes:
    return chunk(
        choices=[{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}], **fields
    )


def ended(reason: str, **fields: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": {}, "finish_reason": reason}], **fields)


def read(pieces: Iterable[bytes]) -> list[Event]:
    reader = AnswerReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    if reader.broken is not None:
        raise reader.broken
    return events


def read_until_broken(pieces: Iterable[bytes]) -> list[Event]:
    """The events that were handed on before the stream broke."""
    reader = AnswerReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    assert reader.broken is not None
    return events


# The request, byte for byte


def test_a_request_streams_and_asks_for_usage() -> None:
    messages = (Message("system", "Be brief."), Message("user", "Hi\n"))

    assert openai.encode_request(ChatRequest(messages=messages, model="m", max_tokens=9)) == (
        b'{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi\\n"}],'
        b'"stream":true,"stream_options":{"include_usage":true},"max_tokens":9}'
    )


def test_a_request_names_a_temperature_that_was_asked_for() -> None:
    request = ChatRequest(messages=(Message("user", "Hi"),), model="m", max_tokens=9, temperature=0.0)

    assert openai.encode_request(request).endswith(b'"max_tokens":9,"temperature":0.0}')


# Chunks to events


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_an_answer_is_its_tokens_and_its_end(feed: Cut) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    stream = said("Hel", model="m-1") + said("lo") + ended("stop") + chunk(choices=[], usage=usage) + DONE

    assert read(feed(stream)) == [Delta("Hel"), Delta("lo"), Finished("stop", "m-1", Usage(3, 2))]


@given(st.lists(st.text(min_size=1)))
def test_any_text_comes_through(texts: list[str]) -> None:
    stream = b"".join(map(said, texts)) + DONE
    expected = [*map(Delta, texts), Finished("stop", "")]

    assert read([stream]) == expected
    assert read(one_by_one(stream)) == expected


def test_what_groq_counts_is_taken() -> None:
    counted = {"id": "req", "usage": {"prompt_tokens": 7, "completion_tokens": 8}}

    assert read([ended("stop", x_groq=counted) + DONE]) == [Finished("stop", "", Usage(7, 8))]
    assert read([said("Hi", x_groq={"id": "req"}) + DONE]) == [Delta("Hi"), Finished("stop", "")]


def test_a_chunk_without_text_is_no_event() -> None:
    stream = said("") + chunk(choices=[{"index": 0, "delta": {"content": None}}]) + chunk() + chunk(choices=[])

    assert read([stream]) == []


def test_only_the_first_choice_is_heard() -> None:
    choices = [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]

    assert read([chunk(choices=choices)]) == [Delta("a")]


def test_the_last_model_and_usage_that_were_named_count() -> None:
    first, last = {"prompt_tokens": 1, "completion_tokens": 1}, {"prompt_tokens": 1, "completion_tokens": 9}
    stream = said("a", model="m-1", usage=first) + said("b", model="m-2", usage=last) + ended("stop", model="") + DONE

    assert read([stream])[-1] == Finished("stop", "m-2", Usage(1, 9))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
    ],
)
def test_reasons_to_finish(theirs: str, ours: str) -> None:
    event = read([ended(theirs) + DONE])[-1]

    assert isinstance(event, Finished)
    assert event.reason == ours


def test_only_done_is_the_end() -> None:
    assert read([said("Hi") + ended("stop")]) == [Delta("Hi")]
    assert read([said("Hi") + ended("stop") + DONE]) == [Delta("Hi"), Finished("stop", "")]


@pytest.mark.parametrize(
    "data", [b"data:\n\n", b"data: [D]\n\n", b"data: DONE\n\n", b'data: "[DONE]"\n\n', b"data: null\n\n"]
)
def test_what_only_looks_like_the_end_breaks_the_answer(data: bytes) -> None:
    assert read_until_broken([said("Hi") + data]) == [Delta("Hi")]


def test_nothing_is_heard_after_the_end() -> None:
    assert read([DONE + said("more")]) == [Finished("stop", "")]


@pytest.mark.parametrize(
    "data",
    [
        b"junk",
        b"[]",
        b"{",
        b'{"choices":7}',
        b'"\xff"',
        b"[" * 100_000,
        b'{"choices":[{"delta":{"content":"\\udc00"}}]}',
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_no_chunk_breaks_the_answer_without_repeating_it(data: bytes) -> None:
    with pytest.raises(UpstreamMalformed, match=r"^the upstream sent an event that is no chunk of its format$"):
        read([b"data: %b\n\n" % data])


@pytest.mark.parametrize(
    ("error", "shown"),
    [({"message": "overloaded", "type": "x"}, ": overloaded"), ("overloaded", ": overloaded"), ({}, ""), (7, "")],
)
def test_an_error_inside_the_stream_breaks_the_answer(error: object, shown: str) -> None:
    with pytest.raises(UpstreamStreamError, match=f"^the upstream broke off{shown}$"):
        read([chunk(error=error)])


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize("broken", [chunk(error="overloaded"), b"data: junk\n\n"], ids=["error", "junk"])
def test_what_was_said_before_a_break_is_handed_on(feed: Cut, broken: bytes) -> None:
    assert read_until_broken(feed(said("Hel") + said("lo") + broken)) == [Delta("Hel"), Delta("lo")]


# The bodies of refusals


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"no such model","code":"x"}}', "no such model"),
        (b'{"error":"no such model"}', "no such model"),
        (b'{"message":"no such model"}', "no such model"),
        (b"", ""),
        (b"<html>", ""),
        (b"\xff", ""),
        (b'"\xff"', ""),
        (b"[]", ""),
        (b"[" * 100_000, ""),
        (b'{"error":{"message":"%b"}}' % (b"x" * 400), "x" * 300),
    ],
)
def test_the_message_of_a_refusal(body: bytes, message: str) -> None:
    assert openai.error_body_message(body) == message


@pytest.mark.parametrize("body", [b"{}", b'{"detail":[]}', b'{"error":null}', b'{"error":{"message":7}}'])
def test_a_refusal_without_a_message_has_none(body: bytes) -> None:
    assert openai.error_body_message(body) == ""


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"error":{"message":"x","param":"messages[0]"}}', "messages[0]"),
        (b'{"error":{"param":"%b"}}' % (b"x" * 200), "x" * 100),
        (b'{"error":{"param":null}}', None),
        (b'{"error":{"param":7}}', None),
        (b'{"error":"param"}', None),
        (b'{"param":"x"}', None),
        (b"[]", None),
        (b"", None),
        (b'"\xff"', None),
        (b"[" * 100_000, None),
    ],
)
def test_the_field_at_fault_of_a_refusal(body: bytes, param: str | None) -> None:
    assert openai.error_body_param(body) == param


# The request in all its parts


def sent(**fields: Any) -> dict[str, Any]:
    """What a request says besides what all of them do."""
    request = ChatRequest(**{"messages": (Message("user", "Hi"),), "model": "m", "max_tokens": UNBOUNDED, **fields})
    body: dict[str, Any] = json.loads(openai.encode_request(request))
    common = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    if "messages" not in fields:
        common["messages"] = [{"role": "user", "content": "Hi"}]
    assert all(body.pop(name) == value for name, value in common.items())
    return body


WEATHER = {"name": "weather", "description": "It rains", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, {}),
        ({"max_tokens": UNBOUNDED - 1}, {"max_tokens": UNBOUNDED - 1}),
        (
            {"top_p": 0.0, "seed": 0, "stop": ("a", "b"), "reasoning": True},
            {"top_p": 0.0, "seed": 0, "stop": ["a", "b"], "reasoning_effort": "medium"},
        ),
        ({"json_object": True}, {"response_format": {"type": "json_object"}}),
        (
            {"schema": b"{}", "json_object": True},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {}, "strict": True},
                }
            },
        ),
        (
            {"schema": b'{"a": 1}', "schema_name": "n"},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True},
                }
            },
        ),
        (
            {"tools": (Tool("weather", "It rains", json.dumps(WEATHER["parameters"]).encode()),)},
            {"tools": [{"type": "function", "function": WEATHER}], "tool_choice": "auto"},
        ),
        (
            {"tools": (Tool("t"),), "tool_choice": "t", "parallel_tool_calls": False},
            {
                "tools": [
                    {"type": "function", "function": {"name": "t", "description": "", "parameters": {"type": "object"}}}
                ],
                "tool_choice": {"type": "function", "function": {"name": "t"}},
                "parallel_tool_calls": False,
            },
        ),
        ({"parallel_tool_calls": False, "tool_choice": "none"}, {}),
    ],
)
def test_what_is_asked_for_is_said_in_openais_words(fields: dict[str, Any], told: dict[str, Any]) -> None:
    assert sent(**fields) == told


@pytest.mark.parametrize("choice", ["none", "required"])
def test_how_tools_are_chosen(choice: str) -> None:
    assert sent(tools=(Tool("t"),), tool_choice=choice)["tool_choice"] == choice


CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:x"}}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            Message("assistant", "", tool_calls=(ToolCall("c", "f", "{}"),)),
            {"role": "assistant", "content": None, "tool_calls": [CALLED]},
        ),
        (
            Message("assistant", "So", tool_calls=(ToolCall("c", "f", "{}"),)),
            {"role": "assistant", "content": "So", "tool_calls": [CALLED]},
        ),
        (Message("tool", "rain", tool_call_id="c"), {"role": "tool", "content": "rain", "tool_call_id": "c"}),
        (
            Message("user", "What?", images=("data:x",)),
            {"role": "user", "content": [{"type": "text", "text": "What?"}, IMAGE]},
        ),
        (Message("user", "", images=("data:x", "data:x")), {"role": "user", "content": [IMAGE, IMAGE]}),
    ],
)
def test_messages_keep_their_calls_results_and_images(message: Message, told: dict[str, Any]) -> None:
    assert sent(messages=(message,)) == {"messages": [told]}


# All that is said, not text alone


def heard(pieces: Iterable[bytes], reader: RichReader | None = None) -> list[Any]:
    reader = reader or RichReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def piece(**delta: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}], model="m-1")


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_thoughts_and_calls_are_told_in_their_order(feed: Cut) -> None:
    named = {"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": ""}}
    stream = (
        piece(reasoning_content="a")
        + piece(reasoning="b", content="c")
        + piece(content=None, tool_calls=None)
        + piece(tool_calls=[named, {"index": 1, "id": None, "function": {"name": None, "arguments": "x"}}, {}])
        + ended("tool_calls", usage={"prompt_tokens": 3, "completion_tokens": 2})
        + chunk(choices=[])
        + DONE
    )

    assert heard(feed(stream)) == [
        Thought("a"),
        Thought("b"),
        Delta("c"),
        CallPart(0, "c0", "f", ""),
        CallPart(1, "", "", "x"),
        CallPart(0, "", "", ""),
        Finished("tool_calls", "m-1", Usage(3, 2)),
    ]


@given(st.lists(st.text(min_size=1)))
def test_both_readers_read_the_same_text(texts: list[str]) -> None:
    stream = b"".join(map(said, texts)) + ended("length") + DONE

    assert heard([stream]) == read([stream])


@pytest.mark.parametrize("broken", [chunk(error="overloaded"), b"data: junk\n\n", piece(tool_calls=7)])
def test_a_break_ends_what_is_heard_in_full_too(broken: bytes) -> None:
    reader = RichReader()

    assert heard([said("Hi") + broken + DONE], reader) == [Delta("Hi")]
    assert isinstance(reader.broken, UpstreamMalformed | UpstreamStreamError)


# Events as they are


def passed(pieces: Iterable[bytes], reader: PassingReader | None = None) -> list[Passed | Finished]:
    reader = reader or PassingReader(lambda data: data == b"[DONE]")
    return [event for each in pieces for event in reader.feed(each)]


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_events_are_passed_on_up_to_their_end(feed: Cut) -> None:
    stream = b"event: x\nid: 7\ndata: junk\n\n: ping\n\n" + DONE

    assert passed(feed(stream)) == [Passed(b"junk"), Passed(b"[DONE]"), Finished("stop", "")]


def test_nothing_is_passed_on_after_the_end() -> None:
    assert passed([b"data: 1\n\n" + DONE + b"data: 2\n\n"])[-1] == Finished("stop", "")


def test_an_event_of_many_lines_is_passed_on_as_one() -> None:
    assert passed([b'data: {"a":\r\ndata: 1}\r\n\r\n']) == [Passed(b'{"a": 1}')]


def test_an_event_without_an_end_is_not_passed_on() -> None:
    reader = PassingReader(lambda _: False)

    assert passed([b"data: 1\n\ndata: " + b"x" * (MAX_EVENT_BYTES + 1)], reader) in ([], [Passed(b"1")])
    assert isinstance(reader.broken, UpstreamMalformed)


@pytest.mark.parametrize("error", ['{"message":"out of memory"}', '"out of memory"'])
@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_an_error_that_is_no_end_breaks_what_is_passed_on(feed: Cut, error: str) -> None:
    reader = PassingReader(lambda data: data == b"[DONE]")
    stream = b'data: 1\n\ndata: {"error":%b}\n\n' % error.encode() + DONE

    assert passed(feed(stream), reader)[:1] == [Passed(b"1")]
    assert isinstance(reader.broken, UpstreamStreamError)
    assert reader.broken.message == "the upstream broke off: out of memory"


@pytest.mark.parametrize(
    "payload", [b'{"error":null}', b'{"delta":"error"}', b'{"a":{"error":1}}', b'["error"]', b'"error"!']
)
def test_what_only_names_an_error_is_passed_on(payload: bytes) -> None:
    assert passed([b"data: %b\n\n" % payload]) == [Passed(payload)]


def test_an_error_that_is_an_end_is_passed_on() -> None:
    reader = PassingReader(lambda _: True)

    assert passed([b'data: {"error":1}\n\n'], reader) == [Passed(b'{"error":1}'), Finished("stop", "")]
