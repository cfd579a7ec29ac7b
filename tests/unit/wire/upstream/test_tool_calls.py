import json
from collections.abc import Sequence
from typing import Any

import pytest

from tokenfall.errors import UpstreamMalformed
from tokenfall.events import ToolCallDelta
from tokenfall.wire.upstream.chunk import CalledFunctionDelta, CallPiece
from tokenfall.wire.upstream.reader import ResponseReader
from tokenfall.wire.upstream.tool_calls import MAX_CALLS, MAX_HELD, ToolCallReader

from tests.doubles.growth import cpu_s
from tests.doubles.memory import held_bytes
from tests.doubles.pieces import Cut, one_by_one, whole


def piece(index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> CallPiece:
    return CallPiece(index, call_id, CalledFunctionDelta(name, arguments))


def calls(*pieces: CallPiece, at_once: bool = False, tools: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call; every call's first part has its name, or the beginning of it."""
    reader = ToolCallReader(tools)
    parts = reader.read(pieces) if at_once else [part for each in pieces for part in reader.read([each])]
    reader.end()
    assembled: dict[int, tuple[str, str, str]] = {}
    for part in parts:
        if part.index in assembled:
            assert part.id == ""
            call_id, name, arguments = assembled[part.index]
            assert not (part.name and arguments)
            assembled[part.index] = (call_id, name + part.name, arguments + part.arguments)
        else:
            assert part.name
            assert part.index == len(assembled)
            assembled[part.index] = (part.id, part.name, part.arguments)
    return list(assembled.values())


TWO = [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(
    "pieces",
    [
        [piece(0, "a", "f", '{"x":1}'), piece(1, "b", "g", '{"y":2}')],
        [piece(0, "a", "f", '{"x":1}'), piece(0, "b", "g", '{"y":2}')],
        [piece(None, "a", "f", '{"x":1}'), piece(None, "b", "g", '{"y":2}')],
        [piece(7, "a", "f", '{"x":1}'), piece(3, "b", "g", '{"y":2}')],
        [
            piece(0, "a", "f", ""),
            piece(1, "b", "g", ""),
            piece(0, None, None, '{"x":'),
            piece(1, None, None, '{"y":'),
            piece(0, None, None, "1}"),
            piece(1, None, None, "2}"),
        ],
        [
            piece(0, "a", "f", '{"x":'),
            piece(None, None, None, "1}"),
            piece(0, "b", "g", '{"y":'),
            piece(0, "", "", "2}"),
        ],
        [
            piece(None, "a", "f", ""),
            piece(None, "b", "g", '{"y":'),
            piece(None, "a", "", '{"x":1}'),
            piece(None, "b", "", "2}"),
        ],
        [piece(None, "a", "f", '{"x":'), piece(0, None, None, "1}"), piece(1, "b", "g", '{"y":2}')],
        [
            piece(0, "a", None, '{"x":'),
            piece(0, None, "f", "1}"),
            piece(1, "b", None, '{"y":2}'),
            piece(1, None, "g", None),
        ],
        [piece(0, "a", "f", '{"x":'), piece(0, "a", "f", "1}"), piece(1, "b", "g", '{"y":'), piece(1, "b", "g", "2}")],
        [
            piece(0, "a", "f", '{"x":'),
            piece(0, "r1", None, "1}"),
            piece(1, "b", "g", '{"y":'),
            piece(1, "r2", "", "2}"),
        ],
        [
            piece(0, "a", "f", '{"x":'),
            piece(1, "a", None, "1}"),
            piece(2, "b", "g", '{"y":'),
            piece(3, "b", None, "2}"),
        ],
        [piece(0, "a", "f", '{"x":1}'), piece(0, "b", None, '{"y":'), piece(0, None, "g", "2}")],
    ],
    ids=[
        "by index",
        "one index",
        "by id",
        "non-consecutive indices",
        "interleaved",
        "one index in fragments",
        "by id in fragments",
        "late index",
        "late name",
        "repeated names",
        "an id per fragment",
        "an index per fragment",
        "another id, late name",
    ],
)
def test_two_calls_are_separated_with_any_numbering(pieces: list[CallPiece], at_once: bool) -> None:
    assert calls(*pieces, at_once=at_once) == TWO


@pytest.mark.parametrize("index", [None, 0])
@pytest.mark.parametrize("call_id", [None, ""])
def test_calls_without_ids_are_separated_by_name_and_complete_arguments(index: int | None, call_id: str | None) -> None:
    whole_calls = [piece(index, call_id, "f", '{"x":1}'), piece(index, call_id, "f", '{"x":2}')]
    named = [piece(index, call_id, "f", ""), piece(index, call_id, "g", '{"y":'), piece(index, call_id, None, "2}")]
    repeated = [piece(index, call_id, "f", '{"x":'), piece(index, call_id, "f", '"}"}')]

    assert calls(*whole_calls) == [("", "f", '{"x":1}'), ("", "f", '{"x":2}')]
    assert calls(*named) == [("", "f", ""), ("", "g", '{"y":2}')]
    assert calls(*repeated) == [("", "f", '{"x":"}"}')]


def test_calls_with_one_id_are_separated_by_complete_arguments() -> None:
    same = [piece(None, "a", "f", '{"x":1}'), piece(None, "a", "f", '{"x":'), piece(None, "a", None, "2}")]

    assert calls(*same) == [("a", "f", '{"x":1}'), ("a", "f", '{"x":2}')]


def test_fragment_with_a_new_index_starts_a_new_call() -> None:
    assert calls(piece(0, "a", "f", "{"), piece(1, None, None, "{}"), piece(1, None, "g", "")) == [
        ("a", "f", "{"),
        ("", "g", "{}"),
    ]
    assert calls(piece(0, "a", "f", "{"), piece(1, "b", None, "{}"), piece(1, None, "g", "")) == [
        ("a", "f", "{"),
        ("b", "g", "{}"),
    ]


def test_empty_fragment_is_ignored() -> None:
    assert calls(CallPiece(), piece(0, None, None, None), piece(1, "", "", "")) == []
    assert calls(piece(0, "a", None, None)) == []


def test_arguments_without_a_name_raise_malformed() -> None:
    with pytest.raises(UpstreamMalformed, match="a tool call without a name"):
        calls(piece(0, "a", None, "{}"))


# Names in parts, repeated names and arguments


@pytest.mark.parametrize("index", [None, 0])
@pytest.mark.parametrize("call_id", [None, "", "a"])
@pytest.mark.parametrize(
    ("names", "last"),
    [(["get_", "weather"], ""), (["get", "_wea", "ther"], ""), (["get_", "get_weather"], "get_weather")],
)
def test_name_in_parts_is_joined(index: int | None, call_id: str | None, names: list[str], last: str) -> None:
    pieces = [piece(index, "a", names[0], ""), *(piece(index, call_id, name, "") for name in names[1:])]
    tools = ["get_weather", "clock"]

    assert calls(*pieces, tools=tools) == [("a", "get_weather", "")]
    assert calls(*pieces, piece(index, call_id, last, '{"x":1}'), piece(index, None, None, ""), tools=tools) == [
        ("a", "get_weather", '{"x":1}')
    ]


def test_name_that_continues_another_name_of_a_tool_is_joined() -> None:
    pieces = [piece(0, "a", "get", ""), piece(0, None, "_all", "{}")]

    assert calls(*pieces, tools=["get", "get_all"]) == [("a", "get_all", "{}")]
    assert calls(piece(0, "a", "ab", ""), piece(0, None, "ab", "{}"), tools=["abab"]) == [("a", "abab", "{}")]


@pytest.mark.parametrize("index", [None, 0])
def test_names_of_two_tools_are_two_calls(index: int | None) -> None:
    pieces = [piece(index, None, "f", ""), piece(index, None, "g", "{}")]

    assert calls(*pieces, tools=["f", "g"]) == [("", "f", ""), ("", "g", "{}")]
    assert calls(*pieces, tools=["x"]) == [("", "f", ""), ("", "g", "{}")]


def test_another_name_under_one_id_after_complete_arguments_is_a_new_call() -> None:
    assert calls(piece(0, "a", "f", "{}"), piece(0, "a", "g", "{}")) == [("a", "f", "{}"), ("a", "g", "{}")]


@pytest.mark.parametrize("call_id", [None, "a"])
def test_name_after_complete_arguments_is_not_a_call(call_id: str | None) -> None:
    assert calls(piece(0, "a", "f", "{}"), piece(0, call_id, "f", "")) == [("a", "f", "{}")]


def test_name_and_arguments_after_complete_arguments_are_a_new_call() -> None:
    first, again = piece(0, None, "f", '{"x":1}'), piece(0, None, "f", "")
    rest = [piece(0, None, None, '{"x":'), piece(0, None, None, "2}")]

    assert calls(first, again, *rest) == [("", "f", '{"x":1}'), ("", "f", '{"x":2}')]
    assert calls(first, again, *rest, tools=["f"]) == [("", "f", '{"x":1}'), ("", "f", '{"x":2}')]


def test_arguments_that_every_fragment_repeats_are_read_once() -> None:
    texts = ["{", '{"x"', '{"x":1}', '{"x":1}']

    assert calls(piece(0, "a", "f", ""), *(piece(0, None, None, text) for text in texts)) == [("a", "f", '{"x":1}')]


def test_extra_content_of_a_call_is_kept() -> None:
    extra = {"google": {"thought_signature": "c2ln"}}
    reader = ResponseReader()
    call = {"function": {"name": "f", "arguments": "{}"}, "id": "a", "extra_content": extra}

    assert reader.feed(chunk(tool_calls=[call])) == [
        ToolCallDelta(0, "a", "f", "{}", json.dumps(extra, separators=(",", ":")).encode())
    ]
    assert reader.feed(chunk(tool_calls=[{**call, "id": "b", "extra_content": "x"}])) == [
        ToolCallDelta(1, "b", "f", "{}")
    ]
    lenient = {**call, "id": 7, "function": {"name": "f", "arguments": {}}}
    assert [event.extra for event in reader.feed(chunk(tool_calls=[lenient])) if isinstance(event, ToolCallDelta)] == [
        json.dumps(extra, separators=(",", ":")).encode()
    ]


# Calls in chunks


def chunk(**delta: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize(
    ("delta", "part"),
    [
        ({"tool_calls": [{"index": 0.0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}, ("a", "f", "{}")),
        ({"tool_calls": [{"index": "0", "id": 7, "function": {"name": "f", "arguments": "{}"}}]}, ("7", "f", "{}")),
        ({"tool_calls": [{"index": None, "id": None, "function": {"name": "f"}}]}, ("", "f", "")),
        ({"tool_calls": [{"index": [], "function": {"name": "f", "arguments": None}}]}, ("", "f", "")),
        ({"tool_calls": [{"function": {"name": "f", "arguments": {"x": ["é"]}}}]}, ("", "f", '{"x":["é"]}')),
        ({"tool_calls": [{"function": {"name": "f", "arguments": {"x": "\ud83d"}}}]}, ("", "f", '{"x":"\ufffd"}')),
        ({"tool_calls": {"id": "a", "function": {"name": "f", "arguments": "{}"}}}, ("a", "f", "{}")),
        ({"tool_calls": [{"id": "a", "name": "f", "arguments": "{}"}, None]}, ("a", "f", "{}")),
        ({"tool_calls": [{"id": "a", "name": "f", "arguments": "{}"}]}, ("a", "f", "{}")),
        ({"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}]}, ("a", "f", "x")),
        ({"tool_calls": [{"id": "a\udc00", "function": {"name": "f\udc00"}}]}, ("a\ufffd", "f\ufffd", "")),
        ({"function_call": {"name": "f", "arguments": "{}"}}, ("", "f", "{}")),
        ({"function_call": {"name": "f", "arguments": None}, "tool_calls": None}, ("", "f", "")),
    ],
    ids=lambda value: repr(value)[:70],
)
def test_call_in_every_known_form_is_read(feed: Cut, delta: dict[str, Any], part: tuple[str, str, str]) -> None:
    reader = ResponseReader()
    events = [event for each in feed(chunk(**delta)) for event in reader.feed(each)]

    assert events == [ToolCallDelta(0, *part)]


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_legacy_function_call_in_fragments_is_one_call(feed: Cut) -> None:
    stream = chunk(function_call={"name": "f", "arguments": ""}) + chunk(function_call={"arguments": "{}"})
    reader = ResponseReader()
    events = [event for each in feed(stream) for event in reader.feed(each)]

    assert events == [ToolCallDelta(0, "", "f", ""), ToolCallDelta(0, "", "", "{}")]


def test_call_without_a_name_raises_malformed_at_the_end() -> None:
    reader = ResponseReader()
    reader.feed(chunk(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]) + b"data: [DONE]\n\n")

    assert isinstance(reader.broken, UpstreamMalformed)


def test_completeness_check_takes_linear_time() -> None:
    reader = ToolCallReader()
    reader.read([piece(0, None, "f", '["x",')])
    for _ in range(40):
        assert len(reader.read([piece(0, None, "f", '"y",')] * 500)) == 500


def test_number_of_tools_does_not_slow_down_the_reading_of_calls() -> None:
    def read_s(tools: int) -> float:
        names = [f"tool_{number:05d}" for number in range(tools)]
        calls = [piece(number, f"{number}", names[-1], "{}") for number in range(600)]
        return cpu_s(lambda: ToolCallReader(names).read(calls))

    assert read_s(20_000) < 5 * read_s(10)


def test_parts_of_calls_in_one_event_are_limited() -> None:
    with pytest.raises(UpstreamMalformed, match="more than 1024 parts of tool calls"):
        ToolCallReader().read([piece(0, None, "f", "1")] * (MAX_CALLS + 1))


def test_number_of_calls_is_limited() -> None:
    reader = ToolCallReader()
    for number in range(MAX_CALLS):
        reader.read([piece(number, None, "f", "")])
    with pytest.raises(UpstreamMalformed, match="more than 1024 tool calls"):
        reader.read([piece(MAX_CALLS, None, "f", "")])


def test_buffered_arguments_of_unnamed_calls_are_limited() -> None:
    reader = ToolCallReader()
    reader.read([piece(0, None, None, "x" * (MAX_HELD - 1))])
    reader.read([piece(1, None, None, "y")])
    with pytest.raises(UpstreamMalformed, match="65536 characters of a tool call without a name"):
        reader.read([piece(1, None, None, "z")])


@pytest.mark.slow
def test_small_fragments_take_no_more_memory_than_their_text() -> None:
    count = 50_000

    def read() -> ToolCallReader:
        reader = ToolCallReader()
        for number in range(count):
            reader.read([piece(0, None, "" if number else "f", f"{number % 90 + 10}")])
        return reader

    assert held_bytes(read) < 4 * 2 * count + 10_000
