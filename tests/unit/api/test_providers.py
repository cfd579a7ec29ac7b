from __future__ import annotations

import json
import logging
from collections.abc import Coroutine, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from tokenfall.api.documents import document
from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.problems import of_error
from tokenfall.api.providers import FunctionHandler, Provider
from tokenfall.api.simulated_provider import SimulatedProvider
from tokenfall.api.throttle import Throttle
from tokenfall.errors import InvalidRequest, RateLimited, UpstreamReset, shutting_down
from tokenfall.http.request import Request
from tokenfall.http.response import LiveStream, PacedStream, Response, SteadyStream
from tokenfall.limits.memory import MemoryLimiter
from tokenfall.messages import ChatRequest
from tokenfall.metrics.registry import Metrics
from tokenfall.simulator.engine import SimulatedEngine
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.paragraph import PARAGRAPH
from tokenfall.simulator.state import SimulatorState
from tokenfall.wire.anthropic.response import ANTHROPIC
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import Dialect, ParsedRequest, ResponseMeta
from tokenfall.wire.dialects import DIALECTS
from tokenfall.wire.openai.response import OPENAI_CHAT
from tokenfall.wire.sse_decoder import SSEDecoder

from tests.contracts.limits import BURST, RATE
from tests.doubles.callers import callers
from tests.doubles.clocks import FakeClock, InstantClock
from tests.doubles.memory import ample_memory
from tests.doubles.requests import lines_of, request
from tests.doubles.sent import RecordingSend

if TYPE_CHECKING:
    from tokenfall.http.response import Send


class FakeRun:
    def __init__(self, frames: Sequence[bytes], *, last: bytes, failure: Exception | None) -> None:
        self._frames = frames
        self._last = last
        self._failure = failure
        self.frames = len(frames)

    async def __call__(self, send: Send) -> bytes:
        for frame in self._frames:
            send(frame)
        if self._failure is not None:
            raise self._failure
        return self._last


class FakeRelay:
    """Sends `frames`, then raises `failure` or returns `last`."""

    def __init__(self, *frames: bytes, last: bytes = b"", failure: Exception | None = None) -> None:
        self._frames = frames
        self._last = last
        self._failure = failure
        self.requests: list[ParsedRequest] = []
        self.dialect: Dialect | None = None

    def decode(self, body: bytes) -> ParsedRequest:
        if self.dialect is not None:
            return self.dialect.decode(body)
        read = json.loads(body)
        return ParsedRequest(request=ChatRequest(messages=(), model=read["model"], max_tokens=0), stream=read["stream"])

    def stream(self, request: Request, parsed: ParsedRequest, *, meta: ResponseMeta) -> FakeRun:
        self.requests.append(parsed)
        return FakeRun(self._frames, last=self._last, failure=self._failure)

    async def complete_response(self, request: Request, parsed: ParsedRequest, *, meta: ResponseMeta) -> Response:
        self.requests.append(parsed)
        if self._failure is not None:
            raise self._failure
        return document(b"".join(self._frames))


Paced = PacedStream | SteadyStream


class Harness:
    def __init__(
        self,
        dialect: Dialect = DIALECTS["openai.chat"],
        *,
        defaults: str = "",
        relay: FakeRelay | None = None,
        throttled: bool = False,
    ) -> None:
        self.clock = InstantClock()
        if relay is not None and dialect.name.startswith("ollama"):
            relay.dialect = dialect  # checked for an immediate response first
        throttle = None
        if throttled:
            limiter = MemoryLimiter(RATE, BURST, now=FakeClock())
            throttle = Throttle(limiter, callers=callers(), metrics=Metrics())
        self.state = SimulatorState(parse(defaults))
        engine = SimulatedEngine(self.clock, self.state)
        injected_errors = InjectedErrors(self.clock.now)
        simulating = SimulatedProvider(
            dialect, engine, clock=self.clock, injected_errors=injected_errors, callers=callers(), memory=ample_memory()
        )
        self.provider = Provider(
            dialect, simulating, relay=relay, throttle=throttle, callers=callers(), memory=ample_memory()
        )

    async def whole(self, incoming: Request) -> Response:
        response: Any = self.provider(incoming)
        response = await response if isinstance(response, Coroutine) else response
        assert isinstance(response, Response)
        return response

    def paced(self, incoming: Request) -> Paced:
        response = self.provider(incoming)
        assert isinstance(response, Paced)
        return response

    async def live(self, incoming: Request) -> LiveStream:
        response: Any = self.provider(incoming)
        response = await response
        assert isinstance(response, LiveStream)
        return response


def post(model: str = "sim", *, stream: bool = False, sim: str = "", **fields: Any) -> Request:
    members = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9_000}
    headers = {"x-sim": sim} if sim else {}
    incoming = request("/", method="POST", headers=headers, body=json.dumps(members | fields).encode())
    incoming.id, incoming.response_headers = "r1", b"x-request-id: r1\r\n"
    return incoming


def documents(frames: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in SSEDecoder().feed(b"".join(frames)) if event.data != b"[DONE]"]


def frame_count(stream: Paced) -> list[bytes]:
    frames = list(stream.frames(False))
    return [frame for frame in frames if isinstance(frame, bytes)]


def streamed_text(stream: Paced) -> str:
    chunks = documents(frame_count(stream))
    return "".join(each["choices"][0]["delta"].get("content", "") for each in chunks)


# Simulated


async def test_non_streaming_response_takes_as_long_as_the_stream() -> None:
    harness = Harness(defaults="ttft=2s,gap=1s,tokens=3")
    response = await harness.whole(post())
    document = json.loads(response.body)

    assert document["choices"][0]["message"]["content"] == "Large language models"
    assert document["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    assert harness.clock.slept == [1000.0 + 2 + 1 + 1 + 1]
    assert {"content-type: application/json", "cache-control: no-store"} <= {*lines_of(response.head)}


def test_stream_gaps_follow_the_grammar() -> None:
    stream = Harness(defaults="ttft=2s,gap=1s,tokens=3").paced(post(stream=True))

    assert streamed_text(stream) == "Large language models"
    assert list(islice(stream.gaps, 3)) == [2.0, 1.0, 1.0]
    assert b"content-type: text/event-stream\r\n" in stream.head.lines
    assert not stream.endless


def test_end_of_a_stream_has_its_duration() -> None:
    harness = Harness(DIALECTS["groq.chat"], defaults="tokens=1")
    frames = harness.paced(post(stream=True)).frames(False)
    next(frames)
    harness.clock.now_s = 1007.5

    assert b'"total_time":7.5' in b"".join(frame for frame in frames if isinstance(frame, bytes))


@pytest.mark.parametrize("stream", [True, False])
async def test_more_specific_configuration_applies(stream: bool) -> None:
    for model, sim, count in (("sim", "", 1), ("sim:tokens=2", "", 2), ("sim:tokens=2", "tokens=3", 3)):
        harness, incoming = Harness(defaults="tokens=1"), post(model, sim=sim, stream=stream)
        if stream:
            text = streamed_text(harness.paced(incoming))
        else:
            text = json.loads((await harness.whole(incoming)).body)["choices"][0]["message"]["content"]
        assert text == " ".join(PARAGRAPH.split()[:count])


def test_response_has_the_requested_model_name() -> None:
    frames = frame_count(Harness().paced(post("sim:tokens=2", stream=True)))

    assert {each["model"] for each in documents(frames)} == {"sim:tokens=2"}


@pytest.mark.parametrize(
    "incoming", [post(sim="spede=3"), post(sim="x"), post("sim:gap=fast"), post(temperature="hot")]
)
def test_invalid_request_is_refused_before_the_first_token(incoming: Request) -> None:
    with pytest.raises(InvalidRequest):
        Harness().provider(incoming)

    assert lines_of(incoming.response_headers) == ["x-request-id: r1", "request-id: r1"]


def test_without_an_upstream_every_model_is_simulated() -> None:
    assert streamed_text(Harness(defaults="tokens=1").paced(post("gpt-9", stream=True))) == "Large"


def test_two_responses_have_different_ids() -> None:
    first, second = (documents(frame_count(Harness().paced(post(stream=True))))[0]["id"] for _ in range(2))

    assert first != second


async def test_load_request_without_a_prompt_is_answered_at_once() -> None:
    harness = Harness(DIALECTS["ollama.generate"])
    response = await harness.whole(request("/api/generate", method="POST", body=b'{"model":"sim"}'))

    assert json.loads(response.body)["done_reason"] == "load"
    assert harness.clock.slept == []


# Interrupted streams


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize("relayed", [True, False])
async def test_stream_cut_by_a_drain_ends_with_a_dialect_error(dialect: Dialect, relayed: bool) -> None:
    harness = Harness(dialect, relay=FakeRelay() if relayed else None)
    fields = {"prompt": "Hi"} if dialect.name in ("openai.completions", "ollama.generate") else {"input": "Hi"}
    incoming = post("up-1" if relayed else "sim", stream=True, **fields)
    stream: Paced | LiveStream = await harness.live(incoming) if relayed else harness.paced(incoming)

    last = stream.failure(shutting_down()) if isinstance(stream, LiveStream) else stream.shutdown_frame(b"")
    assert b"shutting down" in last
    assert b"[DONE]" not in last
    assert stream.keepalive == dialect.keepalive
    assert b"content-type: %b\r\n" % dialect.stream_type.encode() in stream.head.lines


# Refusals


@pytest.mark.parametrize(
    ("dialect", "shape"),
    [
        (
            OPENAI_CHAT,
            {"error": {"message": "slowly", "type": "rate_limit_error", "param": "n", "code": "rate_limit_exceeded"}},
        ),
        (ANTHROPIC, {"type": "error", "error": {"type": "rate_limit_error", "message": "slowly"}, "request_id": "r1"}),
        (DIALECTS["ollama.chat"], {"error": "slowly"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_refusal_is_encoded_in_the_dialect_with_both_request_id_headers(
    dialect: Dialect, shape: dict[str, Any]
) -> None:
    api_error = ApiError(
        status=429, code="rate_limited", message="slowly", param="n", request_id="r1", retry_after_s=1.2
    )
    incoming = post()
    response = Harness(dialect).provider.refuse(incoming, api_error)
    Harness(dialect).provider.refuse(incoming, api_error)

    assert (response.status, json.loads(response.body)) == (429, shape)
    assert {"retry-after: 2", "cache-control: no-store", "content-type: application/json"} <= {*lines_of(response.head)}
    assert lines_of(incoming.response_headers) == ["x-request-id: r1", "request-id: r1"]


# Relayed


async def test_upstream_model_is_relayed() -> None:
    relay = FakeRelay(b"a", b"b", last=b"c")
    harness = Harness(relay=relay)
    sent = RecordingSend()
    assert await (await harness.live(post("up-1", stream=True))).run(sent) == b"c"
    assert (await harness.whole(post("up-1"))).body == b"ab"

    assert sent == [b"a", b"b"]
    assert [relayed.request.model for relayed in relay.requests] == ["up-1", "up-1"]


async def test_simulator_model_is_not_relayed() -> None:
    relay = FakeRelay(b"a")
    harness = Harness(relay=relay, defaults="tokens=1")

    assert streamed_text(harness.paced(post("sim:seed=1", stream=True))) == "Large"
    assert relay.requests == []


@pytest.mark.parametrize("name", ["openai.chat", "anthropic"])
async def test_relayed_request_is_limited_and_has_rate_limit_headers(name: str) -> None:
    relay = FakeRelay(b"a")
    harness = Harness(DIALECTS[name], relay=relay, throttled=True)
    for remaining in range(BURST - 1, -1, -1):
        incoming = post("up-1")
        await harness.whole(incoming)
        prefix = "x-ratelimit-remaining-requests" if name == "openai.chat" else "anthropic-ratelimit-requests-remaining"
        assert f"{prefix}: {remaining}" in lines_of(incoming.response_headers)
    with pytest.raises(RateLimited):
        await harness.whole(post("up-1"))
    await harness.whole(post("sim"))

    assert len(relay.requests) == BURST


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
async def test_broken_stream_ends_with_a_dialect_error_and_no_end_frame(dialect: Dialect) -> None:
    error = UpstreamReset("the connection\n\ndata: [DONE]\n\nbroke")
    stream = await Harness(dialect, relay=FakeRelay(b"a", failure=error)).live(post("up-1", stream=True, prompt="Hi"))
    with pytest.raises(UpstreamReset):
        await stream.run(RecordingSend())
    last = stream.failure(error)

    assert last == dialect.error_frame(of_error(request(), error), 1)
    assert b"\ndata: [DONE]" not in last
    assert b"message_stop" not in last
    assert last.strip().count(b"\n") <= 1  # at most the event name


async def test_internal_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    stream = await Harness(relay=FakeRelay(b"a")).live(post("up-1", stream=True))
    with caplog.at_level(logging.ERROR):
        last = stream.failure(ZeroDivisionError("s3cret"))

    assert isinstance(last, bytes)
    assert b"s3cret" not in last
    assert b"internal_error" in last
    assert caplog.records[0].exc_info is not None


def test_handlers_of_other_routes_send_both_request_id_headers() -> None:
    incoming = request()
    incoming.id, incoming.response_headers = "r1", b"x-request-id: r1\r\n"
    FunctionHandler(lambda _: document(b"{}"), Harness().provider.refuse)(incoming)

    assert lines_of(incoming.response_headers) == ["x-request-id: r1", "request-id: r1"]
