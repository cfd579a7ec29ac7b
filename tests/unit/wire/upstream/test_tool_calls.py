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

Piece = tuple[int | None, str | None, str | None, str | None]
"""Index, id, name and arguments of a fragment."""


def piece(index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> CallPiece:
    return CallPiece(index, call_id, CalledFunctionDelta(name, arguments))


def calls(*fragments: Piece, at_once: bool = False, tools: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call; every call's first part has its name, or the beginning of it."""
    reader = ToolCallReader(tools)
    pieces = [CallPiece(), *(piece(*each) for each in fragments)]
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


X1, Y2, X2 = '{"x":1}', '{"y":2}', '{"x":2}'
TWO = [("a", "f", X1), ("b", "g", Y2)]
AGAIN = [("", "f", X1), ("", "f", X2)]

CALLS: dict[str, tuple[list[Piece], list[tuple[str, str, str]]]] = {
    "by index": ([(0, "a", "f", X1), (1, "b", "g", Y2)], TWO),
    "one index": ([(0, "a", "f", X1), (0, "b", "g", Y2)], TWO),
    "by id": ([(None, "a", "f", X1), (None, "b", "g", Y2)], TWO),
    "non-consecutive indices": ([(7, "a", "f", X1), (3, "b", "g", Y2)], TWO),
    "interleaved": (
        [
            (0, "a", "f", ""),
            (1, "b", "g", ""),
            (0, None, None, '{"x":'),
            (1, None, None, '{"y":'),
            (0, None, None, "1}"),
            (1, None, None, "2}"),
        ],
        TWO,
    ),
    "one index in fragments": (
        [(0, "a", "f", '{"x":'), (None, None, None, "1}"), (0, "b", "g", '{"y":'), (0, "", "", "2}")],
        TWO,
    ),
    "by id in fragments": (
        [(None, "a", "f", ""), (None, "b", "g", '{"y":'), (None, "a", "", X1), (None, "b", "", "2}")],
        TWO,
    ),
    "late index": ([(None, "a", "f", '{"x":'), (0, None, None, "1}"), (1, "b", "g", Y2)], TWO),
    "late name": ([(0, "a", None, '{"x":'), (0, None, "f", "1}"), (1, "b", None, Y2), (1, None, "g", None)], TWO),
    "repeated names": (
        [(0, "a", "f", '{"x":'), (0, "a", "f", "1}"), (1, "b", "g", '{"y":'), (1, "b", "g", "2}")],
        TWO,
    ),
    "an id per fragment": (
        [(0, "a", "f", '{"x":'), (0, "r1", None, "1}"), (1, "b", "g", '{"y":'), (1, "r2", "", "2}")],
        TWO,
    ),
    "an index per fragment": (
        [(0, "a", "f", '{"x":'), (1, "a", None, "1}"), (2, "b", "g", '{"y":'), (3, "b", None, "2}")],
        TWO,
    ),
    "another id, late name": ([(0, "a", "f", X1), (0, "b", None, '{"y":'), (0, None, "g", "2}")], TWO),
    **{
        f"{name}, index {index!r}, id {call_id!r}": ([(index, call_id, *each) for each in pieces], expected)
        for index in (None, 0)
        for call_id in (None, "")
        for name, pieces, expected in (
            ("one name, complete arguments", [("f", X1), ("f", X2)], AGAIN),
            ("two names", [("f", ""), ("g", '{"y":'), (None, "2}")], [("", "f", ""), ("", "g", Y2)]),
            ("repeated name", [("f", '{"x":'), ("f", '"}"}')], [("", "f", '{"x":"}"}')]),
            ("name after complete arguments", [("f", X1), ("f", ""), (None, '{"x":'), (None, "2}")], AGAIN),
        )
    },
    "one id, complete arguments": (
        [(None, "a", "f", X1), (None, "a", "f", '{"x":'), (None, "a", None, "2}")],
        [("a", "f", X1), ("a", "f", X2)],
    ),
    "another name under one id": ([(0, "a", "f", "{}"), (0, "a", "g", "{}")], [("a", "f", "{}"), ("a", "g", "{}")]),
    "only a name after the call": ([(0, "a", "f", "{}"), (0, None, "f", "")], [("a", "f", "{}")]),
    "only a name and the id after the call": ([(0, "a", "f", "{}"), (0, "a", "f", "")], [("a", "f", "{}")]),
    "a new index": (
        [(0, "a", "f", "{"), (1, None, None, "{}"), (1, None, "g", "")],
        [("a", "f", "{"), ("", "g", "{}")],
    ),
    "a new index and id": (
        [(0, "a", "f", "{"), (1, "b", None, "{}"), (1, None, "g", "")],
        [("a", "f", "{"), ("b", "g", "{}")],
    ),
    "empty fragments": ([(0, None, None, None), (1, "", "", ""), (0, "a", None, None)], []),
    "all arguments repeated in every fragment": (
        [(0, "a", "f", ""), *((0, None, None, text) for text in ("{", '{"x"', X1, X1))],
        [("a", "f", X1)],
    ),
    **{
        f"name in parts {names!r}, index {index!r}, id {call_id!r}": (
            [
                (index, "a", names[0], ""),
                *((index, call_id, name, "") for name in names[1:]),
                (index, call_id, last, X1),
                (index, None, None, ""),
            ],
            [("a", "get_weather", X1)],
        )
        for index in (None, 0)
        for call_id in (None, "", "a")
        for names, last in (
            (["get_", "weather"], ""),
            (["get", "_wea", "ther"], ""),
            (["get_", "get_weather"], "get_weather"),
        )
    },
    "name that continues the name of a tool": (
        [(0, "a", "get", ""), (0, None, "_all", "{}")],
        [("a", "get_all", "{}")],
    ),
    "name whose parts are equal": ([(0, "a", "ab", ""), (0, None, "ab", "{}")], [("a", "abab", "{}")]),
}


@pytest.mark.parametrize("at_once", [False, True])
def test_fragments_are_assigned_to_calls_with_any_numbering(at_once: bool) -> None:
    tools = ["get_weather", "clock", "get", "get_all", "abab"]
    found = {name: calls(*pieces, at_once=at_once, tools=tools) for name, (pieces, _) in CALLS.items()}

    assert found == {name: expected for name, (_, expected) in CALLS.items()}


@pytest.mark.parametrize("tools", [["f", "g"], ["x"], []])
@pytest.mark.parametrize("index", [None, 0])
def test_names_of_two_tools_are_two_calls(index: int | None, tools: list[str]) -> None:
    assert calls((index, None, "f", ""), (index, None, "g", "{}"), tools=tools) == [("", "f", ""), ("", "g", "{}")]


@pytest.mark.parametrize("tools", [["f"], []])
def test_repeated_name_of_a_tool_is_not_a_new_call(tools: list[str]) -> None:
    assert calls((0, "a", "f", ""), (0, "a", "f", "{}"), tools=tools) == [("a", "f", "{}")]


def test_arguments_without_a_name_raise_malformed() -> None:
    with pytest.raises(UpstreamMalformed, match="a tool call without a name"):
        calls((0, "a", None, "{}"))


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
def test_call_in_every_known_form_is_read(delta: dict[str, Any], part: tuple[str, str, str]) -> None:
    reader = ResponseReader()

    assert reader.feed(chunk(**delta)) == [ToolCallDelta(0, *part)]
    assert reader.feed(chunk(function_call={"arguments": "1"})) == [ToolCallDelta(0, "", "", "1")]


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
