import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.errors import UpstreamMalformed, UpstreamStreamError
from tokenfall.events import Delta, Event, Finished, Usage
from tokenfall.messages import ChatRequest, Message
from tokenfall.wire import openai
from tokenfall.wire.openai import AnswerReader

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
