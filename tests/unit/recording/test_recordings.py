from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.recording.recordings import (
    NO_BODY,
    Break,
    InvalidRecording,
    RecordedChunk,
    RecordedExchange,
    RecordedRequest,
    RecordedResponse,
    Recording,
    chunk,
)
from tokenfall.recording.signatures import bare_path, last_user_text

from tests.doubles.clocks import FakeClock

PATH = "/v1/chat/completions"


def body(*texts: str, **more: Any) -> bytes:
    messages = [{"role": "user", "content": text} for text in texts]
    return msgspec.json.encode({"model": "m", "stream": True, "messages": messages, **more})


def exchange(
    request_body: bytes | None, text: str, *, interrupted: Break | None = None, path: str = PATH
) -> RecordedExchange:
    chunks = (RecordedChunk(0.5, text), RecordedChunk(0.75, "é"), chunk(1.75, b"\xff"))
    return RecordedExchange(
        time="2026-11-20T00:00:00Z",
        request=RecordedRequest(
            method="POST", path=path, headers={}, body=NO_BODY if request_body is None else msgspec.Raw(request_body)
        ),
        answer=RecordedResponse(
            status=200, headers={"content-type": "text/event-stream"}, streamed=True, chunks=chunks
        ),
        interrupted=interrupted,
    )


def saved(tmp_path: Path, *exchanges: RecordedExchange) -> str:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"".join(each.line() for each in exchanges))
    return str(path)


def found(recording: Recording, request_body: bytes, path: str = PATH) -> str | None:
    exchange = recording.find(request_body, path)
    return None if exchange is None or exchange.answer is None else next(exchange.answer.frames())[1].decode()


def test_file_round_trips_bytes_and_times(tmp_path: Path) -> None:
    exchange_ = exchange(body("a"), "hello")
    (loaded,) = Recording.load(saved(tmp_path, exchange_)).exchanges
    replayed = loaded.answer

    assert replayed is not None
    assert list(replayed.frames()) == [(0.5, b"hello"), (0.25, "é".encode()), (1.0, b"\xff")]
    assert list(replayed.frames(speed=2)) == [(0.25, b"hello"), (0.125, "é".encode()), (0.5, b"\xff")]
    assert loaded == exchange_
    assert replayed.body == b"hello\xc3\xa9\xff"
    assert (replayed.took_s(), replayed.took_s(speed=2)) == (1.75, 0.875)


@pytest.mark.parametrize("data", ["", "a", 'ab"c\\d\n\u2028é😀' * 9])
def test_line_in_parts_equals_one_encoding(monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    monkeypatch.setattr("tokenfall.recording.recordings.PART_CHARACTERS", 3)
    request = RecordedRequest(method="POST", path="/é", headers={"a": "]}"}, body=msgspec.Raw(b'{"a":[1]}'))
    for count in (0, 1, 2):
        chunks = tuple(RecordedChunk(float(number), data) for number in range(count))
        response = RecordedResponse(status=200, headers={"a": "b"}, streamed=True, chunks=chunks)
        for answer in (None, response):
            exchange = RecordedExchange(time="t", request=request, answer=answer, interrupted="size")
            assert exchange.line() == msgspec.json.encode(exchange) + b"\n"


@given(st.binary())
def test_any_bytes_round_trip(payload: bytes) -> None:
    response = RecordedResponse(status=200, headers={}, streamed=False, chunks=(chunk(1, payload),))
    line = b"".join(response.json_parts())

    assert line.count(b"\n") == 0
    assert msgspec.json.decode(line, type=RecordedResponse).body == payload


@given(st.lists(st.floats(0, 300), max_size=30).map(sorted), st.sampled_from([0.5, 1.0, 2.0, 10.0]))
def test_replay_has_the_recorded_times(times_s: list[float], speed: float) -> None:
    """Each chunk is within half a microsecond of its recorded time, if a clock is advanced by the gaps alone."""
    chunks = tuple(chunk(at_s, b"x") for at_s in times_s)
    response = RecordedResponse(status=200, headers={}, streamed=True, chunks=chunks)
    line = b"".join(response.json_parts())
    clock = FakeClock(0.0)
    played_s = []
    for gap_s, _ in msgspec.json.decode(line, type=RecordedResponse).frames(speed):
        clock.advance(gap_s)
        played_s.append(clock())

    assert played_s == pytest.approx([at_s / speed for at_s in times_s], abs=1e-6 / min(speed, 1))


def test_same_request_is_preferred_to_another_model_and_that_to_the_same_user_text() -> None:
    same = exchange(body("a", seed=1), "same")
    words = exchange(body("before", "a", seed=2), "words")
    recording = Recording([words, same])

    assert found(recording, body("a", seed=1)) == "same"
    assert found(recording, body("a", seed=1, user="u", stream_options={})) == "same"
    assert found(recording, body("a", seed=1, model="sim:speed=2")) == "same"
    assert found(recording, body("before", "a", seed=2)) == "words"
    assert found(recording, body("a", seed=3)) == "words", "the first of equal matches"


def test_order_of_fields_does_not_matter() -> None:
    recording = Recording([exchange(b'{"stream":true,"model":"m","prompt":"x"}', "found")])

    assert found(recording, b'{ "prompt": "x", "model": "m", "stream": true }') == "found"


def test_equal_matches_are_used_round_robin() -> None:
    recording = Recording([exchange(body("a"), "1"), exchange(body("a"), "2"), exchange(body("b"), "3")])

    assert [found(recording, body("a")) for _ in range(4)] == ["1", "2", "1", "2"]
    assert found(recording, body("b")) == "3"


@pytest.mark.parametrize(
    ("request_body", "path"),
    [
        (body("b"), PATH),
        (body("a", stream=False), PATH),
        (body("a"), "/v1/responses"),
        (b"{", PATH),
        (b"[]", PATH),
        (b"", PATH),
    ],
)
def test_another_request_is_not_found(request_body: bytes, path: str) -> None:
    assert found(Recording([exchange(body("a"), "x")]), request_body, path) is None


def test_request_without_a_body_is_matched_by_path() -> None:
    assert found(Recording([exchange(None, "models", path="/v1/models")]), b"", "/openai/v1/models?x=1") == "models"


@pytest.mark.parametrize(
    ("interrupted", "is_replayed"),
    [(None, True), ("upstream", True), ("client", False), ("relay", False), ("size", False)],
)
def test_only_complete_exchanges_and_those_broken_by_the_upstream_are_replayed(
    interrupted: Break | None, is_replayed: bool
) -> None:
    assert (found(Recording([exchange(body("a"), "x", interrupted=interrupted)]), body("a")) == "x") is is_replayed


def test_exchange_without_a_response_is_not_replayed() -> None:
    nothing = RecordedExchange(
        time="", request=RecordedRequest(method="POST", path=PATH, headers={}, body=msgspec.Raw(body("a")))
    )

    assert Recording([nothing]).find(body("a"), PATH) is None


def test_response_without_a_body_takes_no_time() -> None:
    response = RecordedResponse(status=204, headers={}, streamed=False, chunks=())

    assert response.took_s() == 0


GOOD = exchange(body("a"), "x").line()


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (b"\n", "line 2: "),
        (b"{}\n", "line 2: .*missing required field `time`"),
        (GOOD[:50], "line 2: the line is incomplete"),
        (GOOD.replace(b'"v":1', b'"v":2'), "line 2: Invalid enum value 2"),
        (GOOD.replace(b'"time"', b'"tmie"'), "line 2: .*tmie"),
        (GOOD.replace(b"[0.75", b"[0.25"), "line 2: .*must not decrease.*answer"),
        (GOOD.replace(b"/w==", b"?"), "line 2: .*base64|Incorrect padding|Only base64"),
        (GOOD.replace(b'"status":200', b'"status":99'), "line 2: 99 is not the status"),
        (b"\xff\n", "line 2: "),
    ],
)
def test_invalid_line_is_reported_with_its_number(tmp_path: Path, bad: bytes, what: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(GOOD + bad)

    with pytest.raises(InvalidRecording, match=what) as caught:
        Recording.load(str(path))
    assert str(caught.value).startswith(f"{path}: line 2: ")


def test_complete_last_line_without_line_end_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(GOOD + GOOD[:-1])

    assert len(Recording.load(str(path)).exchanges) == 2


@pytest.mark.parametrize(
    ("target", "bare"),
    [
        ("/v1/chat/completions", "/chat/completions"),
        ("/openai/v1/models?x", "/models"),
        ("/chat/completions", "/chat/completions"),
        ("/api/chat", "/api/chat"),
    ],
)
def test_bare_path_has_no_prefix_and_query(target: str, bare: str) -> None:
    assert bare_path(target) == bare


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "a"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "x"}, 1]}]}, "a"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "tool_result"}]}]},
            "a",
        ),
        ({"input": [{"role": "user", "content": "a"}]}, "a"),
        ({"input": "a"}, "a"),
        ({"prompt": "a"}, "a"),
        ({"input": ["a", "b"]}, ""),
        ({"messages": [{"role": "user", "content": None}, 3]}, ""),
        ({}, ""),
    ],
)
def test_last_user_text_is_found(document: dict[str, Any], words: str) -> None:
    assert last_user_text(document) == words
