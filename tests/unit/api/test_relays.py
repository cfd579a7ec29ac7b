import json
from collections.abc import Callable
from time import time
from typing import Any, cast

import pytest

from tokenfall.api.relays import DoneForm, Form, PassingRelay, ResponsesForm, TranslatingRelay
from tokenfall.errors import InvalidRequest, UpstreamReset
from tokenfall.events import CallPart, Delta, Finished, Passed, Thought, Usage
from tokenfall.messages import ChatRequest
from tokenfall.upstream.engine import Passing, UpstreamEngine
from tokenfall.wire.anthropic.response import ANTHROPIC
from tokenfall.wire.dialect import Asked, Identity
from tokenfall.wire.event_encoder import Speaker
from tokenfall.wire.ollama.response import OLLAMA_CHAT
from tokenfall.wire.openai.response import OPENAI_CHAT

from tests.doubles.requests import request
from tests.doubles.sent import Sent

IDENTITY = Identity("0123456789abcdef01234567", 1_700_000_000.5, "up-1")
FINISHED = Finished("stop", "up-1", Usage(3, 5))


class FakeUpstream:
    """Tells `events` to whoever asks, and then fails or is done."""

    def __init__(self, *events: Any, failure: Exception | None = None) -> None:
        self._events = events
        self._failure = failure
        self.passed: list[Passing] = []
        self.asked: list[ChatRequest] = []
        self.ends: Callable[[str], bool] | None = None

    def as_engine(self) -> UpstreamEngine:
        return cast(UpstreamEngine, self)

    async def converse(self, request: ChatRequest, hear: Callable[[Any], Any]) -> Finished:
        self.asked.append(request)
        for event in self._events:
            if (full := hear(event)) is not None:
                await full
        if self._failure is not None:
            raise self._failure
        return FINISHED

    async def pass_on(self, passing: Passing, hear: Callable[[Any], Any], *, ends: Callable[[str], bool]) -> Finished:
        self.passed.append(passing)
        self.ends = ends
        for event in self._events:
            hear(event)
        return FINISHED

    async def fetch(self, passing: Passing) -> bytes:
        self.passed.append(passing)
        return b'{"as":"it is"}'


def body(**fields: Any) -> bytes:
    messages = [{"role": "user", "content": "Hi"}]
    return json.dumps({"model": "up-1", "messages": messages, "max_tokens": 9, **fields}).encode()


# As it is


def passing(upstream: FakeUpstream, form: Form | None = None) -> PassingRelay:
    return PassingRelay(upstream.as_engine(), "/chat/completions", form=form or DoneForm())


@pytest.mark.parametrize(("fields", "stream"), [({}, False), ({"stream": None}, False), ({"stream": True}, True)])
def test_only_model_and_stream_are_read_of_what_is_passed_on(fields: dict[str, Any], stream: bool) -> None:
    asked = passing(FakeUpstream()).decode(body(messages="whatever", **fields))

    assert (asked.request.model, asked.stream) == ("up-1", stream)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"model":7}', b'{"model":"m","stream":"yes"}'])
def test_without_them_nothing_is_passed_on(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        passing(FakeUpstream()).decode(data)


async def run(relay: PassingRelay | TranslatingRelay, data: bytes) -> tuple[Sent, bytes]:
    """What a stream sends, and its last frame."""
    sent = Sent()
    asked = relay.decode(data)
    last = await relay.stream(request(body=data), asked, identity=IDENTITY)(sent)
    return sent, last


async def test_events_and_their_end_are_passed_on() -> None:
    upstream = FakeUpstream(Passed(b'{"a":1}'), Passed(b"[DONE]"))

    assert await run(passing(upstream), body()) == ([b'data: {"a":1}\n\n', b"data: [DONE]\n\n"], b"")
    assert upstream.passed == [Passing("/chat/completions", body())]


async def test_a_whole_answer_is_passed_on() -> None:
    upstream = FakeUpstream()
    relay = passing(upstream)

    assert await relay.whole(request(body=body()), relay.decode(body()), identity=IDENTITY) == b'{"as":"it is"}'
    assert upstream.passed == [Passing("/chat/completions", body())]


@pytest.mark.parametrize(
    ("event_type", "is_end"),
    [
        ("response.completed", True),
        ("response.incomplete", True),
        ("response.failed", True),
        ("error", True),
        ("response.created", False),
        ("", False),
    ],
)
def test_which_event_ends_a_response(event_type: str, is_end: bool) -> None:
    assert ResponsesForm().ends(event_type) == is_end
    assert not DoneForm().ends(event_type)


async def test_only_tokens_are_counted_and_timed() -> None:
    token, usage = Passed(b'{"a":1}', is_token=True), Passed(b'{"b":1}')
    sent, _ = await run(passing(FakeUpstream(token, usage)), body())

    assert (len(sent), sent.tokens) == (2, sent[:1])


def test_events_of_responses_are_named() -> None:
    assert ResponsesForm().frame(Passed(b'{"type":"x.y"}', type="x.y")) == b'event: x.y\ndata: {"type":"x.y"}\n\n'
    assert ResponsesForm().frame(Passed(b"[DONE]")) == b"data: [DONE]\n\n"
    assert DoneForm().frame(Passed(b"1", type="x.y")) == b"data: 1\n\n"


@pytest.mark.parametrize("form", [DoneForm(), ResponsesForm()])
def test_a_type_with_a_line_end_names_no_event(form: Form) -> None:
    assert form.frame(Passed(b"1", type="a\nb")) == b"data: 1\n\n"


@pytest.mark.parametrize("form", [DoneForm(), ResponsesForm()])
@pytest.mark.parametrize("data", [b"a\n\ndata: [DONE]", b"a\rb"])
def test_data_with_a_line_end_is_refused(form: Form, data: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        form.frame(Passed(data))


async def test_a_run_knows_the_number_after_the_last_that_was_sent() -> None:
    events = [Passed(b"{}", type="response.created", number=0), Passed(b"{}", type="response.x", number=1)]
    upstream = FakeUpstream(*events)
    relay = passing(upstream, ResponsesForm())
    run_once = relay.stream(request(body=body()), relay.decode(body()), identity=IDENTITY)
    await run_once(Sent())

    assert run_once.frames == 2


# Translated


def translating(upstream: FakeUpstream) -> TranslatingRelay:
    return TranslatingRelay(upstream.as_engine(), ANTHROPIC)


def decoded(data: bytes) -> Asked:
    return ANTHROPIC.decode(data)


async def test_an_answer_is_told_in_the_callers_dialect() -> None:
    events = (Thought("Hm"), Delta("Hel"), Delta("lo"), CallPart(0, "c", "f", "{"), CallPart(0, "", "", "}"))
    upstream = FakeUpstream(*events)
    sent, last = await run(translating(upstream), body(stream=True))
    speaker = Speaker(ANTHROPIC.encoder(decoded(body()), IDENTITY))

    assert sent == [speaker.frames(event) for event in events]
    assert b"message_stop" in last
    assert upstream.asked == [decoded(body()).request]


async def test_what_is_not_told_is_not_sent() -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    sent, _ = await run(translating(FakeUpstream(Thought("a"), Thought("b"), Delta("c"))), body(thinking=thinking))

    assert len(sent) == 2  # the opening of the thoughts, and the text
    assert all(sent)


async def test_a_broken_answer_has_no_end() -> None:
    relay = translating(FakeUpstream(Delta("Hel"), failure=UpstreamReset("broke")))
    with pytest.raises(UpstreamReset):
        await run(relay, body(stream=True))


async def test_a_slow_client_is_waited_for() -> None:
    waited: list[bytes] = []

    async def room(frame: bytes, /, *, is_token: bool = True) -> None:
        waited.append(frame)

    relay = translating(FakeUpstream(Delta("a"), Delta("b")))
    await relay.stream(request(), relay.decode(body()), identity=IDENTITY)(room)

    assert len(waited) == 2


async def test_a_whole_answer_is_translated() -> None:
    relay = translating(FakeUpstream(Thought("Hm"), Delta("Hel"), Delta("lo"), CallPart(0, "c", "f", '{"a":1}')))
    told = json.loads(await relay.whole(request(), relay.decode(body()), identity=IDENTITY))

    assert [block["type"] for block in told["content"]] == ["thinking", "text", "tool_use"]
    assert (told["content"][1]["text"], told["content"][2]["input"]) == ("Hello", {"a": 1})
    assert told["usage"]["output_tokens"] == 5


async def test_a_mistake_is_told_before_the_upstream_is_asked() -> None:
    with pytest.raises(InvalidRequest):
        translating(FakeUpstream()).decode(b"{}")
    with pytest.raises(InvalidRequest):
        TranslatingRelay(FakeUpstream().as_engine(), OPENAI_CHAT).decode(b"{}")


@pytest.mark.parametrize("stream", [True, False])
async def test_events_are_put_in_order_for_every_dialect(stream: bool) -> None:
    events = (CallPart(0, "a", "f", ""), CallPart(1, "a", "g", "{}"), CallPart(0, "", "", "{}"))
    relay = translating(FakeUpstream(*events))
    if stream:
        sent, last = await run(relay, body(stream=True))
        told = b"".join(sent) + last
    else:
        told = await relay.whole(request(), relay.decode(body()), identity=IDENTITY)

    assert told.index(b'"name":"f"') < told.index(b'"name":"g"')
    assert told.count(b'"id":"a"') == 1  # ids are unique
    assert b'"stop_reason":"tool_use"' in told


async def test_what_came_at_once_took_the_whole_time() -> None:
    relay = TranslatingRelay(FakeUpstream(Delta("a")).as_engine(), OLLAMA_CHAT)
    told = json.loads(await relay.whole(request(), relay.decode(body()), identity=Identity("0", time(), "m")))

    assert told["prompt_eval_duration"] == 1
    assert told["eval_duration"] == told["total_duration"]


async def test_log_probabilities_are_not_made_up_for_an_upstream() -> None:
    relay = TranslatingRelay(FakeUpstream(Delta("a")).as_engine(), OLLAMA_CHAT)
    asked = relay.decode(body(logprobs=True, top_logprobs=2))

    assert b"logprobs" not in await relay.whole(request(), asked, identity=IDENTITY)
