import json
from collections.abc import Callable
from itertools import islice

import pytest

from tokenfall.api import simulator
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.simulator import (
    DataDocument,
    PlainStream,
    Shared,
    loop_stream,
    ndjson_stream,
    parsed_simulation,
    random_of,
    sse_stream,
)
from tokenfall.errors import InvalidRequest
from tokenfall.http.request import Request
from tokenfall.http.response import AnyResponse, PacedStream, Response, SteadyStream, TimedStream
from tokenfall.simulator.grammar import Simulation, parse
from tokenfall.simulator.library import Library
from tokenfall.simulator.paragraph import PARAGRAPH, WORDS
from tokenfall.simulator.state import SimulatorState
from tokenfall.simulator.values import Length, Spread
from tokenfall.wire.sse_decoder import SSEDecoder

from tests.doubles.callers import callers
from tests.doubles.clocks import FakeClock, InstantClock
from tests.doubles.loading import SlowLoadable
from tests.doubles.requests import request

SIM = {"x-sim": "gap=1s,seed=1"}


def shared(sim: str = "", *, keys: tuple[str, ...] = ()) -> Shared:
    return Shared(SimulatorState(parse(sim)), InjectedErrors(FakeClock()), callers=callers(*keys), library=Library())


def frames(stream: AnyResponse, *, chunked: bool = False, most: int = 10_000) -> list[bytes]:
    assert isinstance(stream, PacedStream | SteadyStream)
    return [frame for frame in islice(stream.frames(chunked), most) if isinstance(frame, bytes)]


def gaps(stream: AnyResponse, most: int) -> list[float]:
    assert isinstance(stream, PacedStream | SteadyStream)
    return list(islice(stream.gaps, most))


# Golden frames of the streams


@pytest.mark.parametrize(("make", "prefix", "suffix"), [(sse_stream, b"data: ", b"\n\n"), (ndjson_stream, b"", b"\n")])
def test_stream_has_a_frame_per_word_and_a_last_one(
    make: Callable[[Shared], PlainStream], prefix: bytes, suffix: bytes
) -> None:
    sent = frames(make(shared())(request("/")))

    assert sent[0] == prefix + b'{"content":"Large ","finish":false}' + suffix
    assert sent[-1] == prefix + b'{"content":"","finish":true}' + suffix
    assert len(sent) == len(WORDS) + 1


def test_stream_sse_sends_the_paragraph() -> None:
    stream = b"".join(frames(sse_stream(shared())(request("/stream-sse"))))
    documents = [json.loads(event.data) for event in SSEDecoder().feed(stream)]

    assert "".join(document["content"] for document in documents) == PARAGRAPH + " "
    assert [document["finish"] for document in documents] == [False] * len(WORDS) + [True]


def test_stream_loop_is_endless() -> None:
    stream = loop_stream(shared())(request("/stream-loop"))
    sent = frames(stream, most=2 * len(WORDS))

    assert isinstance(stream, TimedStream)
    assert stream.endless
    assert sent[0] == b"data: Large\n\n"
    assert sent == [b"data: %b\n\n" % word.encode() for word in WORDS] * 2


def test_frames_can_be_chunk_encoded() -> None:
    assert frames(sse_stream(shared())(request("/stream-sse")), chunked=True)[-1] == (
        b'24\r\ndata: {"content":"","finish":true}\n\n\r\n'
    )


@pytest.mark.parametrize(
    ("stream", "content_type", "keepalive", "shutdown_frame"),
    [
        (sse_stream(shared()), b"text/event-stream", b": ping\n\n", b"event: error\ndata: {"),
        (loop_stream(shared()), b"text/event-stream", b": ping\n\n", b"event: error\ndata: {"),
        (ndjson_stream(shared()), b"application/x-ndjson", b"", b'{"error":"the server is shutting down"'),
    ],
    ids=["sse", "loop", "ndjson"],
)
def test_stream_head_has_content_type_and_framing(
    stream: PlainStream, content_type: bytes, keepalive: bytes, shutdown_frame: bytes
) -> None:
    stream_ = stream(request("/"))

    assert isinstance(stream_, TimedStream)
    assert b"\r\ncontent-type: %b\r\n" % content_type in stream_.head.lines
    assert stream_.keepalive == keepalive
    last = stream_.shutdown_frame(b"")
    assert last.startswith(shutdown_frame)
    assert b"shutting_down" in last
    assert last.endswith(b"\n")


async def test_profile_is_loaded_before_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = SlowLoadable()
    monkeypatch.setattr("tokenfall.api.simulator.PROFILES", profiles)
    stream = sse_stream(shared())

    assert stream(request("/?profile=groq-70b")) is profiles
    assert isinstance(stream(request("/")), TimedStream)
    profiles.finish()
    assert isinstance(stream(request("/?profile=groq-70b")), TimedStream)


def test_profile_sets_the_times_of_a_plain_stream() -> None:
    simulation = shared().with_profile(parse("profile=groq-70b,ttft=1s"), under=parse("gap=1s"))

    assert simulation == parse("gap=3.57ms~0.3,ttft=1s,prefill=20ms,profile=groq-70b")


# Length and timing


@pytest.mark.parametrize(
    ("target", "count"), [("/?tokens=3", 3), ("/?tokens=0", 0), (f"/?tokens={len(WORDS) + 5}", len(WORDS) + 5)]
)
def test_stream_has_the_requested_number_of_words(target: str, count: int) -> None:
    assert len(frames(sse_stream(shared())(request(target)))) == count + 1
    loop = loop_stream(shared())(request(target))
    assert isinstance(loop, PacedStream | SteadyStream)
    assert not loop.endless
    assert len(frames(loop)) == count


def test_random_length_is_repeated_by_a_seed() -> None:
    lengths = [len(frames(sse_stream(shared())(request(f"/?tokens=5..500&seed={seed}")))) for seed in (1, 1, 2, 3)]

    assert lengths[0] == lengths[1]
    assert len(set(lengths)) == 3
    assert all(6 <= length <= 501 for length in lengths)


def test_stream_has_the_requested_gaps() -> None:
    assert gaps(sse_stream(shared())(request("/")), 2) == [0.1, 0.1]
    assert gaps(sse_stream(shared("gap=2s"))(request("/")), 2) == [2.0, 2.0]
    assert gaps(sse_stream(shared())(request("/?gap=20ms&ttft=300ms")), 3) == [0.3, 0.02, 0.02]


def test_same_seed_gives_the_same_gaps() -> None:
    one, two, other = (gaps(sse_stream(shared())(request(f"/?gap=1s~0.5&seed={seed}")), 9) for seed in (7, 7, 8))

    assert one == two != other


def test_streams_do_not_share_a_random_source() -> None:
    stream = sse_stream(shared("gap=1s~0.5,seed=7"))
    first = stream(request("/"))
    gaps(first, 5)

    assert gaps(stream(request("/")), 3) == gaps(stream(request("/")), 3)


@pytest.mark.parametrize(
    ("text", "is_random"),
    [
        ("", False),
        ("gap=1s,ttft=1s,tokens=3,seed=1", False),
        ("tokens=3..3", False),
        ("gap=1s~0.1", True),
        ("ttft=1s~0.1", True),
        ("tokens=3..4", True),
    ],
)
def test_random_source_is_created_only_for_random_settings(text: str, is_random: bool) -> None:
    assert (random_of(parse(text)) is not None) is is_random


# Precedence of settings


@pytest.mark.parametrize(
    ("incoming", "simulation"),
    [
        (request("/"), Simulation(gap=Spread(5.0))),
        (request("/", headers=SIM), Simulation(gap=Spread(1.0), seed=1)),
        (request("/?gap=2s", headers=SIM), Simulation(gap=Spread(2.0), seed=1)),
        (request("/?tps=4"), Simulation(gap=Spread(0.25))),
        (request("/?tokens=1..2"), Simulation(gap=Spread(5.0), tokens=Length(1, 2))),
        (request("/?gap=20ms%7E0.5"), Simulation(gap=Spread(0.02, 0.5))),
        (request("/", headers={"x-sim": ""}), Simulation(gap=Spread(5.0))),
    ],
)
def test_more_specific_configuration_applies(incoming: Request, simulation: Simulation) -> None:
    assert parsed_simulation(incoming, Simulation(gap=Spread(5.0))) == simulation


@pytest.mark.parametrize("incoming", [request("/?gap=fast"), request("/?x=1"), request("/", headers={"x-sim": "gap"})])
def test_invalid_grammar_is_refused(incoming: Request) -> None:
    with pytest.raises(InvalidRequest, match="simulator: "):
        sse_stream(shared())(incoming)
    with pytest.raises(InvalidRequest, match="simulator: "):
        DataDocument(shared(), InstantClock())(incoming)


# /api/data


def test_document_is_sent_at_once_by_default() -> None:
    response = DataDocument(shared(), InstantClock())(request("/api/data"))
    assert isinstance(response, Response)
    document = json.loads(response.body)

    assert document["message"] == PARAGRAPH
    assert [item["finish"] for item in document["payload"]] == [False, False, True]
    assert b"content-type: application/json" in response.head


@pytest.mark.parametrize("from_default", [True, False])
async def test_document_is_sent_after_the_requested_delay(from_default: bool) -> None:
    clock = InstantClock(1000.0)
    document = DataDocument(shared("ttft=3s" if from_default else ""), clock)
    later = document(request("/api/data" if from_default else "/api/data?ttft=3s"))
    assert not isinstance(later, Response | TimedStream)
    response = await later  # type: ignore[misc]

    assert isinstance(response, Response)
    assert clock.slept == [1003.0]  # measured from the request


async def test_same_seed_gives_the_document_the_same_delay() -> None:
    clock = InstantClock()
    document = DataDocument(shared(), clock)
    for seed in (7, 7, 8):
        await document(request(f"/api/data?ttft=3s~0.5&seed={seed}"))  # type: ignore[misc]

    assert clock.slept[0] == clock.slept[1] != clock.slept[2]


# Cached streams


def test_requests_for_the_same_stream_share_one_object() -> None:
    handler = sse_stream(shared())
    one, same = (handler(request("/stream-sse?gap=1s&tokens=3")) for _ in range(2))
    other = handler(request("/stream-sse?gap=1s&tokens=3", headers={"x-sim": "tokens=2"}))

    assert one is same
    assert one is not other


@pytest.mark.parametrize("sent", ["gap=1s~0.5", "tokens=1..9", "profile=groq-70b"])
def test_varying_streams_are_not_cached(sent: str) -> None:
    handler = sse_stream(shared())
    one, other = (handler(request(f"/stream-sse?{sent}")) for _ in range(2))

    assert one is not other


def test_streams_with_a_long_grammar_are_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "MAX_CACHED_KEY_BYTES", 7)
    handler = sse_stream(shared())

    assert handler(request("/stream-sse?tps=100")) is handler(request("/stream-sse?tps=100"))
    assert handler(request("/stream-sse?tps=1000")) is not handler(request("/stream-sse?tps=1000"))


def test_each_use_of_a_shared_stream_is_counted() -> None:
    common = shared()
    handler = sse_stream(common)
    streams = [handler(request("/stream-sse")) for _ in range(3)]
    assert common.state.limiter.active == 3
    for stream in streams:
        assert isinstance(stream, TimedStream)
        assert stream.ended is not None
        stream.ended()

    assert common.state.limiter.active == 0


def test_changed_default_is_not_served_from_the_cache() -> None:
    common = shared()
    handler = sse_stream(common)
    assert gaps(handler(request("/stream-sse")), 1) == [0.1]
    common.state.configured = parse("gap=2s")

    assert gaps(handler(request("/stream-sse")), 1) == [2.0]


def test_number_of_cached_streams_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "MAX_CACHED_STREAMS", 2)
    handler = sse_stream(shared())
    first = handler(request("/stream-sse?tokens=1"))
    for tokens in (2, 3, 4):
        handler(request(f"/stream-sse?tokens={tokens}"))

    assert handler(request("/stream-sse?tokens=1")) is not first
