import asyncio
from collections.abc import Awaitable

import msgspec
import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.events import Finished, ReasoningDelta, TextDelta, Usage
from tokenfall.messages import ChatRequest, Message, Tool
from tokenfall.reactor.clock import WheelClock
from tokenfall.simulator.engine import SimulatedEngine
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.paragraph import PARAGRAPH, WORDS
from tokenfall.simulator.planning import THOUGHTS
from tokenfall.simulator.state import SimulatorState

from tests.doubles.clocks import FakeWheel, InstantClock
from tests.doubles.connections import settle


def chat_request(*, model: str = "sim", max_tokens: int = 1_000, simulation: str = "") -> ChatRequest:
    messages = (Message("system", "Be brief."), Message("user", "Why so slow?"))
    return ChatRequest(messages=messages, model=model, max_tokens=max_tokens, simulation=simulation)


class RecordedReply:
    def __init__(self) -> None:
        self.clock = InstantClock(0.0)
        self.texts: list[str] = []
        self.times: list[float] = []

    def on_event(self, delta: TextDelta | ReasoningDelta) -> None:
        self.texts.append(delta.text)
        self.times.append(self.clock.now())

    async def run(self, request: ChatRequest, defaults: str = "") -> Finished:
        return await SimulatedEngine(self.clock, SimulatorState(parse(defaults))).reply(request, self.on_event)


@pytest.mark.parametrize("sim", ["profile=groq-70b", "profile=groq-70b,gap=5ms", "profile=groq-70b,ttft=1s,gap=5ms"])
async def test_profile_sets_the_times_that_the_grammar_does_not_set(sim: str) -> None:
    times = {"profile=groq-70b": (0.31, 0.00357), "profile=groq-70b,gap=5ms": (0.31, 0.005)}.get(sim, (1.0, 0.005))
    reply = RecordedReply()
    await reply.run(chat_request(model=f"sim:{sim},tokens=400,seed=1", max_tokens=400), "gap=1s,ttft=9s")

    first, last = reply.times[0], reply.times[-1]
    assert (last - first) / 399 == pytest.approx(times[1], rel=0.1)
    assert first == pytest.approx(times[0], abs=0.3)


@pytest.mark.parametrize("simulation", ["", "fault=drip@0:1ms"])
async def test_arguments_of_a_tool_call_are_not_text(simulation: str) -> None:
    tool = Tool("weather", "It rains", b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}')
    reply = RecordedReply()
    request = msgspec.structs.replace(chat_request(simulation=simulation), tools=(tool,), tool_choice="required")
    finished = await reply.run(request)

    assert reply.texts == []
    assert finished.reason == "tool_calls"


async def test_engine_produces_prose_and_exact_usage() -> None:
    complete, truncated = RecordedReply(), RecordedReply()

    assert await complete.run(chat_request()) == Finished("stop", "sim", Usage(5, len(WORDS)))
    assert "".join(complete.texts) == PARAGRAPH
    assert await truncated.run(chat_request(max_tokens=4)) == Finished("length", "sim", Usage(5, 4))
    assert len(truncated.texts) == 4


async def test_tokens_arrive_at_their_deadlines() -> None:
    reply = RecordedReply()
    await reply.run(chat_request(simulation="ttft=1s,gap=20ms,tokens=3"))

    assert reply.times == pytest.approx([1.0, 1.02, 1.04])
    assert reply.clock.now() == pytest.approx(1.06)  # the end frame has a gap, too


async def test_late_events_do_not_delay_later_events() -> None:
    reply = RecordedReply()

    def late(delta: TextDelta | ReasoningDelta) -> None:
        reply.on_event(delta)
        reply.clock.now_s += 0.005

    await SimulatedEngine(reply.clock, SimulatorState(parse("gap=20ms,tokens=50"))).reply(chat_request(), late)

    assert reply.times[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("defaults", "model", "simulation", "gap_s"),
    [
        ("gap=5s", "sim", "", 5.0),
        ("gap=5s", "sim:gap=4s", "", 4.0),
        ("gap=5s", "sim:gap=4s", "gap=3s", 3.0),
        ("gap=5s", "sim:ttft=4s", "", 4.0),
        ("gap=5s", "llama:gap=4s", "", 5.0),
    ],
)
async def test_more_specific_configuration_applies(defaults: str, model: str, simulation: str, gap_s: float) -> None:
    reply = RecordedReply()
    await reply.run(chat_request(model=model, simulation=simulation, max_tokens=1), defaults)

    assert reply.times == [pytest.approx(gap_s)]


@pytest.mark.parametrize("request_", [chat_request(model="sim:gap=fast"), chat_request(simulation="spede=3")])
async def test_invalid_grammar_is_refused_before_the_first_token(request_: ChatRequest) -> None:
    reply = RecordedReply()
    with pytest.raises(InvalidRequest):
        await reply.run(request_)

    assert reply.texts == []


async def test_follow_waits_for_a_slow_reader() -> None:
    room = asyncio.Event()
    texts: list[str] = []

    def on_event(delta: TextDelta | ReasoningDelta) -> Awaitable[None] | None:
        texts.append(delta.text)
        return None if room.is_set() else asyncio.ensure_future(wait())

    async def wait() -> None:
        await room.wait()

    replying = asyncio.create_task(
        SimulatedEngine(InstantClock(), SimulatorState()).reply(chat_request(simulation="tokens=3"), on_event)
    )
    await settle()
    assert len(texts) == 1
    room.set()
    await replying

    assert len(texts) == 3


async def test_cancelled_reply_leaves_no_timer() -> None:
    wheel = FakeWheel()
    clock = WheelClock(wheel)
    replying = asyncio.create_task(SimulatedEngine(clock, SimulatorState()).reply(chat_request(), lambda _: None))
    await settle()
    assert len(wheel.waiting) == 1
    replying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replying

    assert wheel.waiting == {}


@pytest.mark.parametrize("simulation", ["text=echo", "text=echo,fault=split@1", "text=echo,fault=split@99"])
async def test_reasoning_deltas_are_sent_also_with_faults(simulation: str) -> None:
    texts: dict[type, str] = {ReasoningDelta: "", TextDelta: ""}

    def on_event(piece: TextDelta | ReasoningDelta) -> Awaitable[None] | None:
        texts[type(piece)] += piece.text
        return None

    request = msgspec.structs.replace(chat_request(simulation=simulation), reasoning=True)
    await SimulatedEngine(InstantClock(0.0), SimulatorState(parse(""))).reply(request, on_event)

    assert texts[ReasoningDelta].replace("é", "").strip() == THOUGHTS
    assert texts[TextDelta]
    assert THOUGHTS not in texts[TextDelta]
