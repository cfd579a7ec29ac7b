"""The engine in front of a scripted upstream on a real socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import msgspec
import pytest

from tokenfall.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamStreamError,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from tokenfall.events import Finished, PassthroughEvent, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tokenfall.messages import ChatRequest, Message
from tokenfall.metrics.registry import Metrics
from tokenfall.upstream.engine import PassthroughRequest, UpstreamEngine
from tokenfall.upstream.retries import Retries

from tests.doubles.clocks import FakeWheel, InstantClock
from tests.doubles.upstreams import engine_for
from tests.end_to_end.upstream import Exchange, Script, Upstream, scripted

KEY = "sk-very-s3cret"
REQUEST = ChatRequest(messages=(Message("user", "Hi"),), model="up-1", max_tokens=9)


class Relay:
    """An engine and its upstream, which runs one script per request and repeats the last one."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.metrics = Metrics()
        self.wheel = FakeWheel()
        self.events: list[Any] = []

    def engine(self, *scripts: Script, retries: bool = False) -> UpstreamEngine:
        remaining = list(scripts)

        async def play(exchange: Exchange) -> None:
            await (remaining.pop(0) if len(remaining) > 1 else remaining[0])(exchange)

        self.upstream.script = play
        again = Retries(InstantClock(self.wheel.now_s), Random(1)) if retries else None
        return engine_for(self.upstream.url, key=KEY, wheel=self.wheel, metrics=self.metrics, retries=again)

    def on_event(self, event: Any) -> None:
        self.events.append(event)


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    async with scripted() as upstream:
        yield Relay(upstream)


def complete(body: bytes, status: int = 200, *, headers: bytes = b"") -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.respond(status, body, headers=headers)

    return script


def stream(*pieces: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(*pieces)
        await exchange.send_last_chunk()

    return script


async def fetch(relay: Relay, *scripts: Script, retries: bool = False) -> bytes:
    engine = relay.engine(*scripts, retries=retries)
    try:
        return await engine.fetch(PassthroughRequest("/embeddings", b'{"a":1}'))
    finally:
        await engine.close()


async def pass_through(relay: Relay, *scripts: Script, retries: bool = False) -> Finished:
    engine = relay.engine(*scripts, retries=retries)
    try:
        return await engine.pass_through(PassthroughRequest("/responses", b"{}"), relay.on_event, ends=lambda _: False)
    finally:
        await engine.close()


async def converse(relay: Relay, *scripts: Script) -> Finished:
    engine = relay.engine(*scripts)
    try:
        return await engine.converse(REQUEST, relay.on_event)
    finally:
        await engine.close()


# Complete responses


async def test_fetch_returns_the_body_unchanged(relay: Relay) -> None:
    assert await fetch(relay, complete(b'{"b":  2}')) == b'{"b":  2}'

    (exchange,) = relay.upstream.exchanges
    assert exchange.head.startswith(b"POST /v1/embeddings HTTP/1.1\r\n")
    assert exchange.raw == b'{"a":1}'
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.headers["content-type"] == "application/json"
    assert (exchange.headers["accept"], exchange.headers["accept-encoding"]) == ("application/json", "identity")


async def test_models_are_fetched_by_get_without_a_body(relay: Relay) -> None:
    engine = relay.engine(complete(b'{"data":[]}'))

    assert await engine.models() == b'{"data":[]}'
    (exchange,) = relay.upstream.exchanges
    assert exchange.head.startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert {"content-length", "content-type"} & set(exchange.headers) == set()
    await engine.close()


@pytest.mark.parametrize("status", [201, 204, 206, 302, 304, 600, 999])
async def test_status_below_400_other_than_200_is_an_error_without_status(relay: Relay, status: int) -> None:
    for asking in (fetch, pass_through, converse):
        with pytest.raises(UpstreamError, match=f"the upstream responded with status {status}") as caught:
            await asking(relay, complete(b"", status, headers=b"Location: /elsewhere\r\n"))
        assert caught.value.status is None


@pytest.mark.parametrize(
    ("status", "error"), [(401, UpstreamKeyRefused), (403, UpstreamKeyRefused), (407, UpstreamError)]
)
async def test_refusal_of_the_servers_key_has_no_status(relay: Relay, status: int, error: type[UpstreamError]) -> None:
    for asking in (fetch, pass_through, converse):
        with pytest.raises(error) as caught:
            await asking(relay, complete(b'{"error":{"message":"no"}}', status))
        assert caught.value.status is None
        assert "no" not in caught.value.message.split()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, UpstreamRefused),
        (404, UpstreamRefused),
        (429, UpstreamRateLimited),
        (500, UpstreamFailed),
        (402, UpstreamError),
    ],
)
async def test_refusal_has_the_upstream_status(relay: Relay, status: int, error: type[UpstreamError]) -> None:
    headers = b"Retry-After: 7\r\nLocation: /elsewhere\r\n"
    refusing = complete(b'{"error":{"message":"no","param":"model"}}', status, headers=headers)
    for asking in (fetch, pass_through, converse):
        with pytest.raises(error) as caught:
            await asking(relay, refusing)
        assert caught.value.status == status
        assert caught.value.retry_after_s == (7.0 if status in (429, 500) else None)
        assert caught.value.param == ("model" if error is UpstreamRefused else None)

    assert relay.metrics.upstream_errors == {error.code: 3}


@pytest.mark.parametrize("asking", [fetch, pass_through, converse])
async def test_error_does_not_contain_the_key(relay: Relay, asking: Callable[..., Awaitable[Any]]) -> None:
    words = b'{"error":{"message":"Incorrect key provided: %b."}}' % KEY.encode()
    with pytest.raises(UpstreamRefused) as caught:
        await asking(relay, complete(words, 400))

    assert caught.value.message == "the upstream refused the request: Incorrect key provided: [key]."
    assert caught.value.status == 400
    assert caught.value.__cause__ is None


async def test_error_inside_a_stream_does_not_contain_the_key(relay: Relay) -> None:
    with pytest.raises(UpstreamStreamError) as caught:
        await converse(relay, stream(b'data: {"error":"key %b"}\n\n' % KEY.encode()))

    assert KEY not in caught.value.message


async def test_transient_failure_is_retried(relay: Relay) -> None:
    assert await fetch(relay, complete(b"", 503), complete(b"", 429), complete(b"{}"), retries=True) == b"{}"
    assert len(relay.upstream.exchanges) == 3
    assert (relay.metrics.upstream_retries, relay.metrics.upstream_errors) == (2, {})


async def test_refused_connection_is_unreachable() -> None:
    metrics = Metrics()
    engine = engine_for("http://127.0.0.1:1", metrics=metrics)
    with pytest.raises(UpstreamUnreachable):
        await engine.fetch(PassthroughRequest("/embeddings", b""))
    assert metrics.upstream_errors == {"upstream_unreachable": 1}
    await engine.close()


# Conversations


async def test_converse_reports_reasoning_and_tool_calls(relay: Relay) -> None:
    call = b'{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}'
    finished = await converse(
        relay,
        stream(
            b'data: {"choices":[{"delta":{"reasoning":"Hm"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"So","tool_calls":[%b]}}]}\n\n' % call,
            b'data: {"model":"up-1","choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\n',
            b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
        ),
    )

    assert relay.events == [ReasoningDelta("Hm"), TextDelta("So"), ToolCallDelta(0, "c", "f", "{}")]
    assert (finished.reason, finished.model, finished.usage) == ("tool_calls", "up-1", Usage(1, 2))
    (exchange,) = relay.upstream.exchanges
    assert exchange.head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert exchange.headers["accept"] == "text/event-stream"


@pytest.mark.parametrize("reports_reasoning", [False, True])
async def test_reply_reports_no_tool_calls(relay: Relay, reports_reasoning: bool) -> None:
    engine = relay.engine(
        stream(
            b'data: {"choices":[{"delta":{"reasoning":"Hm"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"So","tool_calls":[{"index":0,"id":"c"}]}}]}\n\n',
            b'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n',
        )
    )
    request = msgspec.structs.replace(REQUEST, reports_reasoning=reports_reasoning)
    finished = await engine.reply(request, relay.on_event)
    await engine.close()

    assert relay.events == [*[ReasoningDelta("Hm")] * reports_reasoning, TextDelta("So")]
    assert finished.reason == "tool_calls"


UNSUPPORTED = b"""{"error":{"message":"'max_tokens' is not supported, use 'max_completion_tokens'"}}"""
STOPPED = b'data: {"model":"up-1","choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("how", ["reply", "converse"])
async def test_rewrite_is_applied_to_the_repeated_and_to_later_requests(relay: Relay, how: str) -> None:
    engine = relay.engine(complete(UNSUPPORTED, 400), stream(STOPPED))
    call = engine.reply if how == "reply" else engine.converse
    for _ in range(2):
        assert (await call(REQUEST, relay.on_event)).reason == "stop"
    await engine.close()

    sent = [{name for name in exchange.body if name.startswith("max_")} for exchange in relay.upstream.exchanges]
    assert sent == [{"max_tokens"}, {"max_completion_tokens"}, {"max_completion_tokens"}]
    assert relay.metrics.upstream_errors == {}


async def test_each_needed_rewrite_is_applied(relay: Relay) -> None:
    refusals = [f'{{"error":"{name} is not supported"}}'.encode() for name in ("stream_options", "reasoning_effort")]
    engine = relay.engine(complete(UNSUPPORTED, 400), *(complete(each, 422) for each in refusals), stream(STOPPED))
    request = msgspec.structs.replace(REQUEST, effort="low")
    for _ in range(2):
        assert (await engine.converse(request, relay.on_event)).reason == "stop"
    await engine.close()

    members = {"max_tokens", "max_completion_tokens", "stream_options", "reasoning_effort"}
    assert [members.intersection(exchange.body) for exchange in relay.upstream.exchanges] == [
        {"max_tokens", "stream_options", "reasoning_effort"},
        {"max_completion_tokens", "stream_options", "reasoning_effort"},
        {"max_completion_tokens", "reasoning_effort"},
        {"max_completion_tokens"},
        {"max_completion_tokens"},
    ]


@pytest.mark.parametrize("how", ["reply", "converse", "pass_through"])
async def test_first_token_is_recorded_for_the_requested_model(relay: Relay, how: str) -> None:
    engine = relay.engine(stream(STOPPED))
    if how == "pass_through":
        passed_request = PassthroughRequest("/chat/completions", b"{}", REQUEST.model)
        await engine.pass_through(passed_request, relay.on_event, ends=lambda _: False)
    else:
        await getattr(engine, how)(REQUEST, relay.on_event)
    await engine.close()

    counts = {model: sum(histogram.counts) for model, histogram in relay.metrics.upstream_ttft_s.items()}
    assert counts == {REQUEST.model: 1}


async def test_response_without_a_token_is_not_recorded(relay: Relay) -> None:
    with pytest.raises(UpstreamRefused):
        await converse(relay, complete(UNSUPPORTED, 400))
    await fetch(relay, complete(b"{}"))

    assert relay.metrics.upstream_ttft_s == {}


async def test_rewrite_that_does_not_help_is_applied_once_and_not_to_later_requests(relay: Relay) -> None:
    engine = relay.engine(complete(UNSUPPORTED, 400))
    for _ in range(2):
        with pytest.raises(UpstreamRefused):
            await engine.converse(REQUEST, relay.on_event)
    await engine.close()

    sent = [name for exchange in relay.upstream.exchanges for name in exchange.body if name.startswith("max_")]
    assert sent == ["max_tokens", "max_completion_tokens"] * 2


# Passthrough

TOKEN = b'{"choices":[{"delta":{"content":"a"}}]}'


async def test_events_are_passed_through_unchanged(relay: Relay) -> None:
    await pass_through(relay, stream(b"event: x\ndata: any", b"thing\n\n: ping\n\ndata: [DONE]\n\ndata: no\n\n"))

    assert [event.data for event in relay.events if isinstance(event, PassthroughEvent)] == [b"anything", b"[DONE]"]
    (exchange,) = relay.upstream.exchanges
    assert exchange.head.startswith(b"POST /v1/responses HTTP/1.1\r\n")
    assert exchange.raw == b"{}"


async def test_passed_stream_without_a_final_event_is_truncated_and_not_retried(relay: Relay) -> None:
    with pytest.raises(UpstreamTruncated):
        await pass_through(relay, stream(b"data: %b\n\n" % TOKEN), retries=True)

    assert [event.data for event in relay.events] == [TOKEN]
    assert len(relay.upstream.exchanges) == 1


async def test_passed_stream_that_breaks_before_the_first_token_is_retried(relay: Relay) -> None:
    role = b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
    with pytest.raises(UpstreamTruncated):
        await pass_through(relay, stream(role), retries=True)

    assert relay.events == []
    assert len(relay.upstream.exchanges) > 1


async def test_document_instead_of_a_stream_is_not_passed_through(relay: Relay) -> None:
    with pytest.raises(UpstreamBroken):
        await pass_through(relay, complete(b'{"error":"no"}', headers=b"Content-Type: application/json\r\n"))

    assert relay.events == []


async def test_wheel_is_empty_afterwards(relay: Relay) -> None:
    await pass_through(relay, stream(b"data: 1\n\ndata: [DONE]\n\n"))
    await fetch(relay, complete(b"{}"))
    await asyncio.sleep(0)

    assert relay.wheel.scheduled_count > 0
    assert relay.wheel.waiting == {}
