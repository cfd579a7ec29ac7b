import json
import re
from collections.abc import Iterable, Sequence

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenfall.errors import UpstreamMalformed
from tokenfall.wire import sse
from tokenfall.wire.sse_decoder import MAX_EVENT_BYTES, ServerSentEvent, SSEDecoder

from tests.doubles.memory import held_bytes
from tests.doubles.pieces import Cut, cut, one_by_one, whole


def decoded(pieces: Iterable[bytes], max_bytes: int = MAX_EVENT_BYTES) -> list[bytes]:
    decoder = SSEDecoder(max_bytes)
    return [event.data for piece in pieces for event in decoder.feed(piece)]


# Frames


def test_frame_has_a_data_line_after_its_name() -> None:
    assert sse.frame(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert sse.frame(b"{}", "error") == b"event: error\ndata: {}\n\n"
    assert (sse.PING, sse.DONE) == (b": ping\n\n", b"data: [DONE]\n\n")


@pytest.mark.parametrize(("data", "event"), [(b"a\nb", ""), (b"a\rb", ""), (b"a", "x\ny"), (b"a", "x\ry")])
def test_frame_with_a_line_break_is_refused(data: bytes, event: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        sse.frame(data, event)


# The decoder, with every split of the stream into reads


@given(st.lists(st.text()), st.lists(st.integers(min_value=0)), st.text())
@example(["data: x\n\ndata: y", "\r\n", "\u2028\0", ""], [], "event: error")
def test_any_text_round_trips_at_once_byte_by_byte_and_with_trailing_bytes(
    texts: list[str], places: list[int], unfinished: str
) -> None:
    stream = b"".join(sse.frame(msgspec.json.encode(text)) for text in texts)
    tail = b"data: " + msgspec.json.encode(unfinished)
    for pieces in ([stream], one_by_one(stream), cut(stream, places), [stream + tail], one_by_one(stream + tail)):
        assert [json.loads(data) for data in decoded(pieces)] == texts


def decoded_per_standard(stream: bytes) -> list[bytes]:
    """The data of all events per WHATWG HTML, section 9.2.6, for a stream of complete lines."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in re.split(rb"\r\n|\n|\r", stream):
        name, colon, value = line.partition(b":")
        if not line and data:
            events.append(b"\n".join(data))
            data.clear()
        elif name == b"data" and colon:
            data.append(value.removeprefix(b" "))
    return events


LINES = st.sampled_from([
    b"", b"data:", b"data: ", b"data:x", b"data: x", b"data:  x", b"data: a:b", b"data\t: x", b"database: x",
    b" data: x", b"event: error", b"id: 7", b"retry: 10", b": ping", b":", b"xdata: x", "data: é\u2028".encode(),
])  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(min_value=0)))
@example([(b"data: x", b"\r\n"), (b"", b"\r\n")], [])
@example([(b"data: x", b"\r"), (b"", b"\r"), (b"", b"\n")], [])
def test_lines_are_decoded_per_standard_with_any_split(lines: Sequence[tuple[bytes, bytes]], places: list[int]) -> None:
    stream = b"".join(line + end for line, end in lines) + b"\n\n"
    expected = decoded_per_standard(stream)

    assert decoded([stream]) == expected
    assert decoded(one_by_one(stream)) == expected
    assert decoded(cut(stream, places)) == expected


NAMED = b"event: error\ndata: a\n\ndata: b\n\nevent: lost\n\ndata: c\n\ndata: d\nevent:x\n\n"


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data\n\n", [(b"", b"")]),  # a field without a colon
        (b"data\ndata\n\n", [(b"\n", b"")]),
        (b"\xef\xbb\xbfdata: x\n\n", [(b"x", b"")]),
        (b"data: half", []),
        (b"data: half\n", []),
        (b"data: a\r\r", [(b"a", b"")]),
        (b'error: busy\n\nerror: {"code":500}\n\n', [(b'{"code":500}', b"error")]),
        (NAMED, [(b"a", b"error"), (b"b", b""), (b"c", b""), (b"d", b"x")]),
    ],
)
def test_unusual_lines_are_decoded_per_standard(feed: Cut, stream: bytes, events: list[tuple[bytes, bytes]]) -> None:
    decoder = SSEDecoder()

    assert [(event.data, event.name) for piece in feed(stream) for event in decoder.feed(piece)] == events


@pytest.mark.parametrize(
    ("pieces", "events"),
    [
        ([b"data: a", b"\n\ndata: b\n\n"], [b"a", b"b"]),
        ([b"data: a\r", b"", b"\n", b"data: b\n\n"], [b"a\nb"]),
        ([b"data: a\r", b"\ndata: b\n\n"], [b"a\nb"]),
        ([b"\xef\xbb\xbfdata: a\n\n", b"\xef\xbb\xbfdata: b\n\n"], [b"a"]),
        ([b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n", b"data: c\n\n"], [b"a", b"c"]),
    ],
)
def test_reads_may_end_anywhere(pieces: list[bytes], events: list[bytes]) -> None:
    assert decoded(pieces) == events


def test_event_name_in_an_earlier_read_applies_to_the_event() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: a\n\n")
    decoder.feed(b"event: error\n")

    assert decoder.feed(b"data: b\n\n") == [ServerSentEvent(b"b", b"error")]


# Limits


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 95 + b"\n\n",
        b"data: " + b"x" * 95,
        b"data: 0123456789\n" * 11,
        b"data:\n" * 1_000,
        b":" * 120,
        b"event: x\n" * 20,
        b'{"a":"' + b"x" * 200,
    ],
)
def test_event_over_the_limit_is_refused(feed: Cut, stream: bytes) -> None:
    with pytest.raises(UpstreamMalformed, match="more than 100 bytes"):
        decoded(feed(stream), 100)


@pytest.mark.parametrize("feed", [whole, one_by_one])
def test_limit_applies_to_each_event(feed: Cut) -> None:
    assert decoded(feed(b"data: " + b"x" * 94 + b"\n\n"), 100) == [b"x" * 94]
    assert decoded(feed(b"data: 0123456789\n\n" * 50), 100) == [b"0123456789"] * 50


# JSON in place of an event


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize("before", [b"", b"data: a\n\n", b": ping\n\n", b"data: a\r\n\r\n"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\n\ndata: b\n\n"])
@pytest.mark.parametrize("document", [b'{"a":1}', b'{\n "a": 1\n}', b'[{"a":1}]', b'[\n{"a":1}\n]', b'[ {"a":1} ]'])
def test_document_without_data_field_is_the_last_event(feed: Cut, before: bytes, after: bytes, document: bytes) -> None:
    decoder = SSEDecoder()
    events = [event for piece in feed(before + document + after) for event in decoder.feed(piece)]

    assert [json.loads(event.data) for event in events if not event.framed] == [json.loads(document)]
    assert [event.data for event in events if event.framed] == ([b"a"] if b"data" in before else [])


@pytest.mark.parametrize("feed", [whole, one_by_one])
@pytest.mark.parametrize("line", [b"[DONE]", b"[1]", b"[", b"[" + b" " * 100 + b"x", b'"a"', b"x{"])
def test_other_lines_are_not_documents(feed: Cut, line: bytes) -> None:
    stream = line + (b"x\n" if line == b"[" else b"\n") + b"data: a\n\n"

    assert decoded(feed(stream)) == [b"a"]


@pytest.mark.parametrize("start", [b"data: ", b"{"])
def test_unfinished_event_in_small_reads_takes_no_more_memory_than_its_bytes(start: bytes) -> None:
    def read() -> SSEDecoder:
        decoder = SSEDecoder()
        decoder.feed(start)
        for number in range(50_000):
            decoder.feed(b"%d" % (number % 90 + 10))
        return decoder

    assert held_bytes(read) < 2 * 2 * 50_000 + 10_000
