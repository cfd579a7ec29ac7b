"""An even stream has the same bytes and times as a response encoded frame by frame."""

import json
from itertools import islice
from typing import Any

import pytest

from tokenfall.api.even_stream import EvenStream, is_even
from tokenfall.api.simulated_response import frames
from tokenfall.events import Finished
from tokenfall.http.response import StreamHead
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.planning import Plan, plan
from tokenfall.simulator.prose import SPACED_WORDS
from tokenfall.slicing.computation import at_once
from tokenfall.wire.dialect import Dialect, ParsedRequest, ResponseMeta, ResponseTiming
from tokenfall.wire.dialects import DIALECTS

IDENTITY = ResponseMeta("0123456789abcdef01234567", 1_700_000_000.0, "sim", 3)
EACH_BY_ITSELF = {"openai.responses"}
"""Dialects that number their frames."""

affixing = pytest.mark.parametrize(
    "dialect", [each for name, each in DIALECTS.items() if name not in EACH_BY_ITSELF], ids=lambda each: each.name
)


def parsed_request(dialect: Dialect, **fields: Any) -> ParsedRequest:
    members = {"model": "sim", "max_tokens": 9_000, "stream": True, "prompt": "Hi", "input": "Hi"}
    if dialect.name == "openai.responses":
        del members["prompt"]
    members["messages"] = [{"role": "user", "content": "Hi"}]
    return dialect.decode(json.dumps(members | fields).encode())


def planned(request: ParsedRequest, sim: str = "") -> Plan:
    return at_once(plan(request.request, parse(f"ttft=2s,gap=1s,{sim}" if sim else "ttft=2s,gap=1s"), call_ids="c"))


def even(dialect: Dialect, request: ParsedRequest, plan_: Plan) -> EvenStream:
    return EvenStream(
        StreamHead("text/plain"),
        plan_,
        encoder=dialect.encoder(request, IDENTITY),
        finished=finished(plan_),
        now=lambda: 107.0,
        started_s=100.0,
    )


def finished(plan_: Plan) -> Finished:
    return Finished(plan_.choices[0].reason, "sim", plan_.usage)


@affixing
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("tokens", [1, 2, len(SPACED_WORDS) + 3])
def test_even_stream_has_the_same_frames_as_the_response(dialect: Dialect, tokens: int, chunked: bool) -> None:
    request = parsed_request(dialect)
    plan_ = planned(request, f"tokens={tokens}")
    encoder = dialect.encoder(request, IDENTITY)
    made = frames(plan_, encoder, finished=finished(plan_), timing=lambda: ResponseTiming(7.0, 2.0), chunked=chunked)
    expected = list(made)
    stream_ = even(dialect, request, plan_)

    assert list(stream_.frames(chunked)) == expected
    assert list(islice(stream_.gaps, 3)) == [2.0, 1.0, 1.0]


@affixing
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("sent", [0, 1, 2, 2 * len(SPACED_WORDS) + 3])
def test_sent_bytes_are_counted_exactly(dialect: Dialect, sent: int, chunked: bool) -> None:
    request = parsed_request(dialect)
    stream_ = even(dialect, request, planned(request, "tokens=1000"))
    found = stream_.numbered(chunked)
    size = sum(len(found[number]) for number in range(sent))

    assert stream_.size_bytes(sent, chunked=chunked) == size


def test_dialect_without_frame_template_does_not_consume_the_gaps() -> None:
    dialect = DIALECTS["openai.responses"]
    request = parsed_request(dialect)
    plan_ = planned(request)
    with pytest.raises(ValueError, match="no frame template"):
        even(dialect, request, plan_)

    assert next(plan_.gaps) == 2.0


@pytest.mark.parametrize(
    ("sim", "fields", "expected"),
    [
        ("", {}, True),
        ("tokens=5..9", {}, True),
        ("tokens=0", {}, False),
        ("text=words", {}, False),
        ("text=echo", {}, False),
        ("seed=1", {}, False),
        ("profile=groq-70b", {}, False),
        ("", {"n": 2}, False),
        ("", {"response_format": {"type": "json_object"}}, False),
    ],
)
def test_streams_with_constant_gaps_are_even(sim: str, fields: dict[str, Any], expected: bool) -> None:
    request = parsed_request(DIALECTS["openai.chat"], **fields)
    simulation = parse(f"ttft=2s,gap=1s,{sim}" if sim else "ttft=2s,gap=1s")

    assert is_even(planned(request, sim), simulation) is expected


@pytest.mark.parametrize("sim", ["gap=1s~0.5", "ttft=1s~0.5,gap=1s"])
def test_streams_with_random_gaps_are_not_even(sim: str) -> None:
    request = parsed_request(DIALECTS["openai.chat"])
    simulation = parse(sim)

    assert not is_even(at_once(plan(request.request, simulation, call_ids="c")), simulation)
