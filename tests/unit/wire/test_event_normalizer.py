from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tokenfall.errors import UpstreamMalformed
from tokenfall.events import Finished, FinishReason, OutputEvent, ReasoningDelta, TextDelta, ToolCallDelta
from tokenfall.messages import ChatRequest, Message, Tool, ToolCall
from tokenfall.wire.event_normalizer import MAX_QUEUED, EventNormalizer
from tokenfall.wire.tool_names import extra_of, upstream_id, upstream_name

from tests.doubles.memory import held_bytes

REQUEST = ChatRequest(messages=(Message("user", "Hi"),), model="m", max_tokens=9)
NUMBER = "0123456789abcdef01234567"


def emitted(*events: OutputEvent, reason: FinishReason = "stop", **fields: Any) -> tuple[list[OutputEvent], Finished]:
    """All emitted events, and `Finished`."""
    normalizer = EventNormalizer(msgspec.structs.replace(REQUEST, **fields), NUMBER)
    output: list[OutputEvent] = []
    for event in events:
        output += normalizer.add(event)
    rest, finished = normalizer.end(Finished(reason, "m"))
    return [*output, *rest], finished


def blocks(output: Sequence[OutputEvent]) -> list[tuple[str, str]]:
    """Each block's kind and its joined text."""
    joined: list[tuple[str, str]] = []
    for event in output:
        kind = type(event).__name__ if not isinstance(event, ToolCallDelta) else f"call {event.index}"
        text = event.arguments if isinstance(event, ToolCallDelta) else event.text
        if joined and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + text)
        else:
            joined.append((kind, text))
    return joined


def call(index: int, arguments: str = "{}", call_id: str = "", name: str = "f") -> ToolCallDelta:
    return ToolCallDelta(index, call_id or f"c{index}", name, arguments)


def more(index: int, arguments: str) -> ToolCallDelta:
    return ToolCallDelta(index, "", "", arguments)


# Order


def test_events_in_order_are_emitted_at_once() -> None:
    normalizer = EventNormalizer(REQUEST, NUMBER)
    events: list[OutputEvent] = [
        ReasoningDelta("hm"),
        TextDelta("Hel"),
        TextDelta("lo"),
        call(0, '{"a":'),
        more(0, "1}"),
        call(1, "{}"),
        TextDelta("so"),
    ]

    assert [list(normalizer.add(event)) for event in events] == [[event] for event in events]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # Content blocks never interleave.
        (
            [call(0, ""), call(1, ""), more(0, '{"a":'), more(1, '{"b":'), more(0, "1}"), more(1, "2}")],
            [("call 0", '{"a":1}'), ("call 1", '{"b":2}')],
        ),
        (
            [call(0, "{"), call(1, "{}"), call(2, "{"), more(1, " "), more(0, "}"), more(2, "}")],
            [("call 0", "{}"), ("call 1", "{}"), ("call 2", "{}")],
        ),
        ([call(0, "{"), TextDelta("a"), more(0, "}"), TextDelta("b")], [("call 0", "{}"), ("TextDelta", "ab")]),
        (
            [call(0, "{"), TextDelta("a"), TextDelta("b"), call(1), ReasoningDelta("c"), more(0, "}")],
            [("call 0", "{}"), ("TextDelta", "ab"), ("call 1", "{}"), ("ReasoningDelta", "c")],
        ),
        ([call(0, ""), call(1, ""), call(2, "{}")], [("call 0", ""), ("call 1", ""), ("call 2", "{}")]),
        ([call(0, "plain"), TextDelta("a"), more(0, " text")], [("call 0", "plain text"), ("TextDelta", "a")]),
        ([call(0), call(1), more(0, "{}")], [("call 0", "{}"), ("call 1", "{}")]),
        ([call(0, '{"a":'), TextDelta("", b"1"), more(0, "1}")], [("call 0", '{"a":1}'), ("TextDelta", "")]),
        ([TextDelta("a"), call(0, ""), call(1, "")], [("TextDelta", "a"), ("call 0", ""), ("call 1", "")]),
        # Text of white space alone is dropped.
        ([TextDelta("\n"), TextDelta("\n"), call(0)], [("call 0", "{}")]),
        ([TextDelta("\n"), TextDelta("Hi"), TextDelta("\n"), TextDelta("!")], [("TextDelta", "\nHi\n!")]),
        (
            [ReasoningDelta("hm"), TextDelta("\n\n"), ReasoningDelta("hm"), TextDelta(" a")],
            [("ReasoningDelta", "hmhm"), ("TextDelta", " a")],
        ),
        ([TextDelta("a"), call(0), TextDelta(" "), call(1)], [("TextDelta", "a"), ("call 0", "{}"), ("call 1", "{}")]),
        ([TextDelta(" ")], []),
        ([TextDelta("")], []),
        # Arguments end with their object.
        ([call(0, '{"a":1}'), more(0, '{"a":1}')], [("call 0", '{"a":1}')]),
        ([call(0, '{"a":'), more(0, '1}"x"'), more(0, "y")], [("call 0", '{"a":1}')]),
        ([call(0, ' {"é":"}"}{'), more(0, "}")], [("call 0", ' {"é":"}"}')]),
        ([call(0, "null")], [("call 0", "")]),
        ([call(0, "null"), more(0, "{}")], [("call 0", "{}")]),
        ([call(0, "[1]"), more(0, "2")], [("call 0", "[1]2")]),
        ([call(0, "nullable")], [("call 0", "nullable")]),
        ([call(0, '"{\\"a'), more(0, '\\":1}"')], [("call 0", '{"a":1}')]),
        ([call(0, '"rain"')], [("call 0", '"rain"')]),
        ([call(0, '"{')], [("call 0", '"{')]),
    ],
)
def test_events_are_emitted_in_blocks(events: list[OutputEvent], expected: list[tuple[str, str]]) -> None:
    output, finished = emitted(*events)

    assert blocks(output) == expected
    assert finished.reason == ("tool_calls" if any(kind.startswith("call") for kind, _ in expected) else "stop")


def test_queued_events_are_emitted_once_the_call_is_complete() -> None:
    normalizer = EventNormalizer(REQUEST, NUMBER)
    normalizer.add(call(0, "{"))

    assert normalizer.add(call(1, "{")) == ()
    assert normalizer.add(more(0, "}")) == [more(0, "}"), call(1, "{")]
    assert normalizer.add(more(1, "}")) == [more(1, "}")]


@pytest.mark.slow
def test_many_small_queued_events_take_no_more_memory_than_their_text() -> None:
    count = 50_000

    def queue() -> EventNormalizer:
        normalizer = EventNormalizer(REQUEST, NUMBER)
        normalizer.add(call(0, "{"))
        for number in range(count):
            text = f"{number % 90 + 10}"
            for event in (call(1, text), TextDelta(text)):
                normalizer.add(event)
        return normalizer

    assert held_bytes(queue) < 2 * 4 * 2 * count + 10_000


# Ids and names


def test_valid_new_ids_of_the_upstream_are_unchanged() -> None:
    output, _ = emitted(call(0, call_id="a"), call(1, call_id="functions.f:0"))

    assert [part.id for part in output if isinstance(part, ToolCallDelta)] == [
        "a",
        "call-b64-ZnVuY3Rpb25zLmY6MA",
    ]


@pytest.mark.parametrize("given", ["", "old", "same"])
def test_ids_are_unique_in_a_conversation(given: str) -> None:
    before = Message("assistant", "", tool_calls=(ToolCall("old", "f", "{}"),))
    output, _ = emitted(ToolCallDelta(0, given, "f", "{}"), ToolCallDelta(1, given, "f", "{}"), messages=(before,))
    ids = [part.id for part in output if isinstance(part, ToolCallDelta)]

    assert len({*ids, "old"}) == 3
    assert all(each == "same" or NUMBER in each for each in ids)


def test_shortened_tool_name_is_restored() -> None:
    name = "mcp__" + "x" * 100
    output, _ = emitted(call(0, name=upstream_name(name)), call(1, name="g"), tools=(Tool(name), Tool("g")))

    assert [part.name for part in output if isinstance(part, ToolCallDelta)] == [name, "g"]


# Text and reasoning


def test_disabled_reasoning_is_dropped() -> None:
    events = (ReasoningDelta("hm"), TextDelta("a"), ReasoningDelta("hm"), TextDelta("b"))

    assert emitted(*events, disables_reasoning=True)[0] == [TextDelta("a"), TextDelta("b")]


# Finish reasons


@pytest.mark.parametrize(
    ("reason", "with_call", "without"),
    [
        ("stop", "tool_calls", "stop"),
        ("tool_calls", "tool_calls", "stop"),
        ("length", "length", "length"),
        ("content_filter", "content_filter", "content_filter"),
    ],
)
def test_response_with_a_call_finishes_with_tool_calls(reason: Any, with_call: str, without: str) -> None:
    assert emitted(call(0), reason=reason)[1].reason == with_call
    assert emitted(TextDelta("a"), reason=reason)[1].reason == without


# Stop sequences over the upstream's limit

STOPS = ("aa", "bb", "cc", "dd", "ee")


def test_more_than_four_stop_texts_are_applied_by_the_normalizer() -> None:
    output, finished = emitted(
        TextDelta("one e"), TextDelta("e two"), TextDelta("x"), ReasoningDelta("y"), call(0), stop=STOPS
    )

    assert blocks(output) == [("TextDelta", "one ")]
    assert (finished.reason, finished.stop) == ("stop", "ee")


def test_possible_stop_text_is_emitted_if_it_does_not_match() -> None:
    assert blocks(emitted(TextDelta("one e"), ReasoningDelta("y"), TextDelta("a"), call(0), stop=STOPS)[0]) == [
        ("TextDelta", "one e"),
        ("ReasoningDelta", "y"),
        ("TextDelta", "a"),
        ("call 0", "{}"),
    ]
    assert blocks(emitted(TextDelta("one e"), stop=STOPS)[0]) == [("TextDelta", "one e")]


def test_stop_text_that_was_not_requested_is_not_reported() -> None:
    def stop(*stops: str) -> str:
        normalizer = EventNormalizer(msgspec.structs.replace(REQUEST, stop=stops), NUMBER)
        return normalizer.end(Finished("stop", "m", None, "<|eot|>"))[1].stop

    assert (stop("<|eot|>"), stop("END"), stop()) == ("<|eot|>", "", "")


def test_up_to_four_stop_sequences_are_applied_by_the_upstream() -> None:
    output, finished = emitted(TextDelta("aa"), stop=STOPS[:4])

    assert (output, finished.stop) == ([TextDelta("aa")], "")


# Log probabilities


def scores(output: Sequence[OutputEvent]) -> list[tuple[str, bytes]]:
    return [(event.text, event.logprobs) for event in output if isinstance(event, TextDelta)]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([TextDelta("a", b"1"), TextDelta("b", b"2"), TextDelta("c")], [("a", b"1"), ("b", b"2"), ("c", b"")]),
        ([TextDelta(" ", b"1"), TextDelta("a", b"2")], [(" a", b"1,2")]),
        ([TextDelta("", b"1"), ReasoningDelta("hm"), TextDelta("", b"2"), TextDelta("a", b"3")], [("a", b"1,2,3")]),
        (
            [call(0, "{"), TextDelta("a", b"1"), TextDelta("b", b"2"), TextDelta("", b"3"), more(0, "}")],
            [("ab", b"1,2,3")],
        ),
        ([call(0, "{"), TextDelta("", b"1"), ReasoningDelta("x"), TextDelta("a", b"2")], [("a", b"1,2")]),
        ([call(0, "{"), TextDelta("", b"1"), more(0, "}"), TextDelta("", b"2")], [("", b"1,2")]),
        ([TextDelta(" ", b"1")], [("", b"1")]),
    ],
)
def test_log_probabilities_are_kept_in_order(events: list[OutputEvent], expected: list[tuple[str, bytes]]) -> None:
    assert scores(emitted(*events)[0]) == expected


def test_log_probabilities_of_text_that_may_be_a_stop_text_wait_with_it() -> None:
    stops = ("stop", "b1", "b2", "b3", "b4")
    parts = [TextDelta("a", b"1"), TextDelta("st", b"2"), TextDelta("x", b"3"), TextDelta("stop", b"4")]

    assert scores(emitted(*parts, stop=stops)[0]) == [("a", b"1"), ("stx", b"2,3")]


# Names and arguments of calls


def test_alternating_events_behind_an_incomplete_call_are_limited() -> None:
    normalizer = EventNormalizer(REQUEST, NUMBER)
    normalizer.add(call(0, "{"))
    for _ in range(MAX_QUEUED // 2):
        assert (normalizer.add(TextDelta("a")), normalizer.add(ReasoningDelta("b"))) == ((), ())
    normalizer.add(ReasoningDelta("b"))
    with pytest.raises(UpstreamMalformed, match="over 2048 parts"):
        normalizer.add(TextDelta("a"))


def test_call_is_emitted_with_its_first_arguments() -> None:
    normalizer = EventNormalizer(REQUEST, NUMBER)

    assert normalizer.add(ToolCallDelta(0, "c0", "get_", "")) == []
    assert normalizer.add(ToolCallDelta(0, "", "weather", "")) == []
    assert normalizer.add(more(0, "{")) == [ToolCallDelta(0, "c0", "get_weather", "{")]
    assert normalizer.add(more(0, "}")) == [more(0, "}")]


def test_name_of_a_queued_call_in_parts_is_joined() -> None:
    parts = [ToolCallDelta(1, "c1", "get_", ""), ToolCallDelta(1, "", "weather", ""), more(1, "{}")]
    output, _ = emitted(call(0, "{"), *parts, more(0, "}"))

    assert output[-1] == ToolCallDelta(1, "c1", "get_weather", "{}")


def test_id_contains_what_the_provider_needs_with_the_call() -> None:
    extra = b'{"google":{"thought_signature":"c2ln"}}'
    output, _ = emitted(ToolCallDelta(0, "a", "f", "{}", extra), ToolCallDelta(1, "", "f", "{}", extra))
    ids = [event.id for event in output if isinstance(event, ToolCallDelta)]

    assert [extra_of(each) for each in ids] == [{"google": {"thought_signature": "c2ln"}}] * 2
    assert upstream_id(ids[0]) == "a"
    assert upstream_id(ids[1]).startswith(f"call_{NUMBER}")
