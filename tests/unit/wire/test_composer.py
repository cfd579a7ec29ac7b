from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tokenfall.events import CallPart, Delta, Finished, FinishReason, Said, Thought
from tokenfall.messages import ChatRequest, Message, Tool, ToolCall
from tokenfall.wire.composer import Composer
from tokenfall.wire.tool_names import upstream_name

REQUEST = ChatRequest(messages=(Message("user", "Hi"),), model="m", max_tokens=9)
NUMBER = "0123456789abcdef01234567"


def composed(*events: Said, reason: FinishReason = "stop", **fields: Any) -> tuple[list[Said], Finished]:
    """All that is told, and the end."""
    composer = Composer(msgspec.structs.replace(REQUEST, **fields), NUMBER)
    told: list[Said] = []
    for event in events:
        told += composer.add(event)
    rest, finished = composer.end(Finished(reason, "m"))
    return [*told, *rest], finished


def sections(told: Sequence[Said]) -> list[tuple[str, str]]:
    """Each section's kind and all it says."""
    made: list[tuple[str, str]] = []
    for said in told:
        kind = type(said).__name__ if not isinstance(said, CallPart) else f"call {said.index}"
        text = said.arguments if isinstance(said, CallPart) else said.text
        if made and made[-1][0] == kind:
            made[-1] = (kind, made[-1][1] + text)
        else:
            made.append((kind, text))
    return made


def call(index: int, arguments: str = "{}", call_id: str = "", name: str = "f") -> CallPart:
    return CallPart(index, call_id or f"c{index}", name, arguments)


def more(index: int, arguments: str) -> CallPart:
    return CallPart(index, "", "", arguments)


# The order


def test_what_comes_in_order_is_told_at_once() -> None:
    composer = Composer(REQUEST, NUMBER)
    events: list[Said] = [
        Thought("hm"),
        Delta("Hel"),
        Delta("lo"),
        call(0, '{"a":'),
        more(0, "1}"),
        call(1, "{}"),
        Delta("so"),
    ]

    assert [list(composer.add(event)) for event in events] == [[event] for event in events]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [call(0, ""), call(1, ""), more(0, '{"a":'), more(1, '{"b":'), more(0, "1}"), more(1, "2}")],
            [("call 0", '{"a":1}'), ("call 1", '{"b":2}')],
        ),
        (
            [call(0, "{"), call(1, "{}"), call(2, "{"), more(1, " "), more(0, "}"), more(2, "}")],
            [("call 0", "{}"), ("call 1", "{} "), ("call 2", "{}")],
        ),
        ([call(0, "{"), Delta("a"), more(0, "}"), Delta("b")], [("call 0", "{}"), ("Delta", "ab")]),
        (
            [call(0, "{"), Delta("a"), Delta("b"), call(1), Thought("c"), more(0, "}")],
            [("call 0", "{}"), ("Delta", "ab"), ("call 1", "{}"), ("Thought", "c")],
        ),
        ([call(0, ""), call(1, ""), call(2, "{}")], [("call 0", ""), ("call 1", ""), ("call 2", "{}")]),
        ([call(0, "plain"), Delta("a"), more(0, " text")], [("call 0", "plain text"), ("Delta", "a")]),
        ([call(0), call(1), more(0, "{}")], [("call 0", "{}"), ("call 1", "{}")]),
    ],
)
def test_sections_never_interleave(events: list[Said], expected: list[tuple[str, str]]) -> None:
    told, finished = composed(*events)

    assert sections(told) == expected
    assert finished.reason == "tool_calls"


def test_what_waited_is_told_as_soon_as_the_call_is_complete() -> None:
    composer = Composer(REQUEST, NUMBER)
    composer.add(call(0, "{"))

    assert composer.add(call(1, "{")) == ()
    assert composer.add(more(0, "}")) == [more(0, "}"), call(1, "{")]
    assert composer.add(more(1, "}")) == [more(1, "}")]


# Ids and names


def test_ids_are_those_of_the_upstream_where_they_are_new_and_allowed() -> None:
    told, _ = composed(call(0, call_id="a"), call(1, call_id="functions.f:0"))

    assert [part.id for part in told if isinstance(part, CallPart)] == ["a", "call-b64-ZnVuY3Rpb25zLmY6MA"]


@pytest.mark.parametrize("given", ["", "old", "same"])
def test_ids_are_unique_in_a_conversation(given: str) -> None:
    before = Message("assistant", "", tool_calls=(ToolCall("old", "f", "{}"),))
    told, _ = composed(CallPart(0, given, "f", "{}"), CallPart(1, given, "f", "{}"), messages=(before,))
    ids = [part.id for part in told if isinstance(part, CallPart)]

    assert len({*ids, "old"}) == 3
    assert all(each == "same" or NUMBER in each for each in ids)


def test_a_shortened_name_is_told_as_the_caller_gave_it() -> None:
    name = "mcp__" + "x" * 100
    told, _ = composed(call(0, name=upstream_name(name)), call(1, name="g"), tools=(Tool(name), Tool("g")))

    assert [part.name for part in told if isinstance(part, CallPart)] == [name, "g"]


# Text and thoughts


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([Delta("\n"), Delta("\n"), call(0)], [("call 0", "{}")]),
        ([Delta("\n"), Delta("Hi"), Delta("\n"), Delta("!")], [("Delta", "\nHi\n!")]),
        ([Thought("hm"), Delta("\n\n"), Thought("hm"), Delta(" a")], [("Thought", "hmhm"), ("Delta", " a")]),
        ([Delta("a"), call(0), Delta(" "), call(1)], [("Delta", "a"), ("call 0", "{}"), ("call 1", "{}")]),
        ([Delta(" ")], []),
        ([Delta("")], []),
    ],
)
def test_no_blank_text_is_told(events: list[Said], expected: list[tuple[str, str]]) -> None:
    assert sections(composed(*events)[0]) == expected


def test_thoughts_that_were_switched_off_are_not_told() -> None:
    assert composed(Thought("hm"), Delta("a"), Thought("hm"), Delta("b"), hides_thoughts=True)[0] == [
        Delta("a"),
        Delta("b"),
    ]


# The end


@pytest.mark.parametrize(
    ("reason", "with_call", "without"),
    [
        ("stop", "tool_calls", "stop"),
        ("tool_calls", "tool_calls", "stop"),
        ("length", "length", "length"),
        ("content_filter", "content_filter", "content_filter"),
    ],
)
def test_a_response_with_a_call_ends_with_it(reason: Any, with_call: str, without: str) -> None:
    assert composed(call(0), reason=reason)[1].reason == with_call
    assert composed(Delta("a"), reason=reason)[1].reason == without


# More stop texts than an upstream takes

STOPS = ("aa", "bb", "cc", "dd", "ee")


def test_more_than_four_stop_texts_end_the_text_here() -> None:
    told, finished = composed(Delta("one e"), Delta("e two"), Delta("x"), Thought("y"), call(0), stop=STOPS)

    assert sections(told) == [("Delta", "one ")]
    assert (finished.reason, finished.stop) == ("stop", "ee")


def test_what_may_be_a_stop_text_is_told_when_it_is_none() -> None:
    assert sections(composed(Delta("one e"), Thought("y"), Delta("a"), call(0), stop=STOPS)[0]) == [
        ("Delta", "one e"),
        ("Thought", "y"),
        ("Delta", "a"),
        ("call 0", "{}"),
    ]
    assert sections(composed(Delta("one e"), stop=STOPS)[0]) == [("Delta", "one e")]


def test_four_stop_texts_are_left_to_the_upstream() -> None:
    told, finished = composed(Delta("aa"), stop=STOPS[:4])

    assert (told, finished.stop) == ([Delta("aa")], "")
