import json
from collections.abc import Coroutine
from typing import Any

import pytest

from tokenfall.api.injected_errors import InjectedErrors
from tokenfall.api.metrics_vllm import VLLMMetrics
from tokenfall.api.simulated_provider import LARGE_BODY_BYTES, SimulatedProvider
from tokenfall.disconnect import Disconnect
from tokenfall.errors import InvalidRequest, RateLimited, SimulatedFailure
from tokenfall.http.request import Request
from tokenfall.http.response import PacedStream, Response, SteadyStream, TimedStream
from tokenfall.simulator.engine import SimulatedEngine
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.state import SimulatorState
from tokenfall.wire.dialect import Dialect
from tokenfall.wire.dialects import DIALECTS

from tests.doubles.callers import callers
from tests.doubles.clocks import InstantClock
from tests.doubles.loading import SlowLoadable
from tests.doubles.memory import ample_memory
from tests.doubles.requests import lines_of, request

all_dialects = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
OPENAI = DIALECTS["openai.chat"]


class Harness:
    def __init__(self, dialect: Dialect = OPENAI) -> None:
        self.clock = InstantClock()
        self.state = SimulatorState(parse("ttft=2s,gap=1s,tokens=3"))
        self.dialect = dialect
        engine = SimulatedEngine(self.clock, self.state)
        injected_errors = InjectedErrors(self.clock.now)
        self.simulating = SimulatedProvider(
            dialect, engine, clock=self.clock, injected_errors=injected_errors, callers=callers(), memory=ample_memory()
        )
        self.response_headers = b""

    def respond(self, sim: str = "", *, stream: bool = True, **fields: Any) -> Any:
        members = {"model": "sim", "stream": stream, "max_tokens": 9_000}
        members |= {"messages": [{"role": "user", "content": "Hi there"}], "input": "Hi there"}
        if self.dialect.name != "openai.responses":  # there `prompt` is the name of a template
            members["prompt"] = "Hi there"
        incoming = request(
            "/", method="POST", headers={"x-sim": sim} if sim else {}, body=json.dumps(members | fields).encode()
        )
        incoming.started_s = self.clock.now()
        try:
            return self.simulating.respond(incoming, self.dialect.decode(incoming.body))
        finally:
            self.response_headers = incoming.response_headers

    def stream(self, sim: str = "", **fields: Any) -> tuple[list[bytes], list[float]]:
        """The frames and the gap before each, pulled as by the HTTP server."""
        paced = self.respond(sim, **fields)
        assert isinstance(paced, PacedStream | SteadyStream)
        gaps = paced.gaps
        played = [(item, next(gaps)) for item in paced.frames(False)]
        assert paced.ended is not None
        paced.ended()
        frames = [item for item, _ in played if isinstance(item, bytes)]
        return frames, [gap_s for item, gap_s in played if isinstance(item, bytes)]

    async def non_streaming(self, sim: str = "", **fields: Any) -> Response | Disconnect:
        pending = self.respond(sim, stream=False, **fields)
        assert isinstance(pending, Coroutine)
        response: Response | Disconnect = await pending
        assert self.state.limiter.active == 0
        return response

    async def took_s(self, sim: str) -> float:
        begun_s = self.clock.now()
        await self.non_streaming(sim)
        return self.clock.now() - begun_s


TOOLS = [{"type": "function", "function": {"name": f"f{n}", "parameters": {"type": "object"}}} for n in range(20)]


@pytest.mark.parametrize(
    ("name", "sim", "fields"),
    [
        ("SCHEMAS", "", {"tools": TOOLS}),
        ("SCHEMAS", "", {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}}),
        ("SCRIPTS", "script=none.yaml", {}),
        ("RECORDINGS", "script=none.jsonl", {}),
        ("PROFILES", "profile=groq-70b", {}),
    ],
)
async def test_modules_of_a_request_are_loaded_before_it_is_planned(
    monkeypatch: pytest.MonkeyPatch, name: str, sim: str, *, fields: dict[str, Any]
) -> None:
    needed = SlowLoadable()
    monkeypatch.setattr(f"tokenfall.api.simulated_provider.{name}", needed)
    harness = Harness()

    assert harness.respond(sim, **fields) is needed
    assert isinstance(harness.respond(), TimedStream)
    needed.finish()
    response = harness.respond(sim, **fields)
    assert response is not needed
    if isinstance(response, Coroutine):
        response.close()


@pytest.mark.parametrize(
    ("sim", "fields"),
    [
        ("", {}),
        ("text=words,tokens=500", {"stop": ["no", "such", "text", "here"]}),
        ("text=echo,tokens=500", {"stop": ["there Hi"]}),
        ("tokens=1000000", {"n": 2, "max_tokens": 8_000}),
        ("limit=rpm=60", {"tools": TOOLS, "tool_choice": "required"}),
        ("text=echo", {"messages": [{"role": "user", "content": "Hi " * 1_000}]}),
    ],
)
def test_small_request_is_planned_synchronously(sim: str, fields: dict[str, Any]) -> None:
    assert isinstance(Harness().respond(sim, **fields), TimedStream)


async def test_large_request_is_planned_in_a_coroutine() -> None:
    planning = Harness().respond("", messages=[{"role": "user", "content": "a" * LARGE_BODY_BYTES}])

    assert isinstance(planning, Coroutine)
    assert isinstance(await planning, TimedStream)


@all_dialects
@pytest.mark.parametrize("sim", ["", ",fault=split@2+stall@1:3s+garbage@3%0.5", ",load=3@4"])
async def test_same_seed_and_request_give_the_same_bytes_and_times(dialect: Dialect, sim: str) -> None:
    chance = "tokens=5..60,gap=1s~0.5,ttft=2s~0.5,text=words"
    one, two, other = (Harness(dialect).stream(f"{chance},seed={seed}{sim}") for seed in (7, 7, 8))
    assert one == two
    assert one[0] != other[0]
    assert one[1] != other[1]
    first, second = [await Harness(dialect).non_streaming(f"{chance},seed=7") for _ in range(2)]
    assert isinstance(first, Response)
    assert isinstance(second, Response)
    assert first.body == second.body


@all_dialects
async def test_times_in_a_seeded_response_do_not_depend_on_the_clock(dialect: Dialect) -> None:
    late = Harness(dialect)
    stream = late.respond("seed=7")
    frames = []
    for item in stream.frames(False):
        frames.append(item)
        next(stream.gaps)
        late.clock.now_s += 0.7

    assert frames == Harness(dialect).stream("seed=7")[0]


@pytest.mark.parametrize(
    ("sim", "took_s"),
    [
        ("", 5.0),
        ("fault=stall@1:3s", 8.0),
        ("fault=stall@3:3s", 8.0),
        ("fault=drip@1:2s", 8.0),
        ("fault=reset@0", 0.0),
        ("fault=reset@2", 3.0),
        ("fault=close@3", 4.0),
        ("fault=garbage@1", 5.0),
        ("load=1@5", 5.0),
        ("fault=split@1", 5.02),
    ],
)
async def test_non_streaming_response_has_the_duration_of_its_stream(sim: str, took_s: float) -> None:
    assert await Harness().took_s(sim) == pytest.approx(took_s)


@pytest.mark.parametrize("kind", ["reset", "close"])
@pytest.mark.parametrize("at", [0, 2, 3, 99])
async def test_fault_in_a_non_streaming_response_sends_no_byte(kind: str, at: int) -> None:
    assert await Harness().non_streaming(f"fault={kind}@{at}") == Disconnect(kind)  # type: ignore[arg-type]


async def test_non_streaming_response_without_its_end_is_incomplete() -> None:
    assert await Harness().non_streaming("fault=nodone@0") == Disconnect("close")


@all_dialects
async def test_non_streaming_response_may_be_garbage(dialect: Dialect) -> None:
    response = await Harness(dialect).non_streaming("fault=garbage@2")
    assert isinstance(response, Response)

    with pytest.raises(ValueError, match=r".*"):
        json.loads(response.body)


async def test_failed_non_streaming_response_is_an_error() -> None:
    harness = Harness()
    with pytest.raises(SimulatedFailure) as caught:
        await harness.non_streaming("fault=error@1")

    assert caught.value.status == 500
    assert harness.state.limiter.active == 0


@all_dialects
async def test_split_fault_after_reasoning_splits_a_character_of_its_frame(dialect: Dialect) -> None:
    fields = {"reasoning_effort": "high", "thinking": {"type": "enabled", "budget_tokens": 2_000}}
    if dialect.name.startswith("ollama"):
        fields = {"think": True}  # type: ignore[dict-item]
    frames, _ = Harness(dialect).stream("fault=split@19,tokens=30", **fields)
    (cut,) = [number for number, frame in enumerate(frames) if frame.endswith("é".encode()[:1])]

    assert frames[cut + 1].startswith("é".encode()[1:])


def test_faults_apply_to_tool_calls_sent_in_one_frame() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    harness = Harness(DIALECTS["ollama.chat"])
    assert b'"done":true' in b"".join(harness.stream("seed=1", tools=tools)[0])
    stream = harness.respond("fault=nodone@0", tools=tools)

    assert b'"done":true' not in b"".join(item for item in stream.frames(False) if isinstance(item, bytes))


def test_running_stream_is_counted_as_active() -> None:
    harness = Harness()
    stream = harness.respond()
    assert harness.state.limiter.active == 1
    stream.ended()
    assert harness.state.limiter.active == 0
    stream = harness.respond("load=2@4")
    next(stream.frames(False)).passes(lambda: None)
    assert harness.state.limiter.active == 1
    stream.ended()
    assert harness.state.limiter.active == 0


def test_limit_counts_prompt_and_max_tokens_and_reports_the_rest() -> None:
    harness = Harness()
    harness.respond("limit=rpm=5,tpm=100", max_tokens=58)
    assert "x-ratelimit-remaining-tokens: 40" in lines_of(harness.response_headers)
    assert "x-ratelimit-remaining-requests: 4" in lines_of(harness.response_headers)
    with pytest.raises(RateLimited, match="tokens per min"):
        harness.respond("limit=rpm=5,tpm=100", max_tokens=58)

    assert "x-ratelimit-remaining-tokens: 40" in lines_of(harness.response_headers)


def test_injected_error_precedes_the_first_token() -> None:
    harness = Harness()
    with pytest.raises(SimulatedFailure):
        harness.respond("status=500")
    with pytest.raises(InvalidRequest):
        harness.respond("fault=melt@1")

    assert harness.state.limiter.active == 0


def test_prefill_time_is_added_to_the_first_gap() -> None:
    _, gaps = Harness().stream("prefill=500ms", messages=[{"role": "user", "content": "word " * 2_000}])

    assert gaps[0] == pytest.approx(3.0, abs=0.01)


class Planned(VLLMMetrics):
    """Records the arguments of `started`."""

    def __init__(self, state: SimulatorState) -> None:
        super().__init__(state, lambda: 0.0, model="sim")
        self.responses: list[dict[str, Any]] = []

    def started(self, request: Request, **response: Any) -> None:
        self.responses.append(response)


async def test_each_planned_response_is_reported_to_vllms_metrics() -> None:
    harness = Harness()
    harness.simulating.vllm = planned = Planned(harness.state)
    harness.stream()
    await harness.non_streaming()

    of_stream = {"prompt_tokens": 2, "reason": "stop", "unstreamed_tokens": 0}
    assert planned.responses == [of_stream, of_stream | {"unstreamed_tokens": 3}]
