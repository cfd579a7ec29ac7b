"""Retries of upstream requests: conditions, waits and limits, on a fake clock. (U2)"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from tokenfall.errors import (
    TokenfallError,
    UpstreamFailed,
    UpstreamFirstTokenTimeout,
    UpstreamRateLimited,
    UpstreamReset,
)
from tokenfall.events import Finished
from tokenfall.messages import ChatRequest, Message
from tokenfall.metrics.registry import Metrics
from tokenfall.upstream import refusals
from tokenfall.upstream.engine import PassthroughRequest
from tokenfall.upstream.retries import Retries

from tests.doubles.clocks import FakeWheel
from tests.doubles.upstreams import engine_for
from tests.end_to_end.chatting import chat, error_of, response_text
from tests.end_to_end.client import fetch
from tests.end_to_end.in_process import eventually, running
from tests.end_to_end.upstream import Exchange, Script, Upstream, delta, respond_with, scripted

REQUEST = ChatRequest(messages=(Message("user", "Hello"),), model="m", max_tokens=9)


class NoJitter(Random):
    """A random source without jitter: every wait is the minimum."""

    def random(self) -> float:
        return 0.0


class WheelDrivenClock:
    """A `Clock` whose sleeps advance a fake wheel, so that deadlines and waits share one time."""

    def __init__(self, wheel: FakeWheel) -> None:
        self._wheel = wheel
        self.waits_s: list[float] = []
        self.sleep_gate: asyncio.Event | None = None
        """If set, sleeps wait for this event."""

    def now(self) -> float:
        return self._wheel.now()

    async def sleep_until(self, deadline_s: float) -> None:
        self.waits_s.append(deadline_s - self._wheel.now())
        if self.sleep_gate is not None:
            await self.sleep_gate.wait()
        self._wheel.advance(deadline_s - self._wheel.now())


class RetryingClient:
    """An engine with retries, the texts that it emitted, and its clock."""

    def __init__(self, upstream: Upstream, *, random: Random, most: int) -> None:
        self.upstream = upstream
        self.wheel = FakeWheel()
        self.clock = WheelDrivenClock(self.wheel)
        self.metrics = Metrics()
        self.texts: list[str] = []
        self.engine = engine_for(
            upstream.url,
            key="key-canary",
            wheel=self.wheel,
            metrics=self.metrics,
            retries=Retries(self.clock, random, max_retries=most),
        )

    async def request(self) -> Finished:
        return await self.engine.reply(REQUEST, lambda delta: self.texts.append(delta.text))

    async def request_error(self) -> TokenfallError:
        with pytest.raises(TokenfallError) as caught:
            await self.request()
        return caught.value


@asynccontextmanager
async def retrying_client(
    *scripts: Script, random: Random | None = None, most: int = 2
) -> AsyncIterator[RetryingClient]:
    """A client of an upstream that plays one script per request, and repeats the last."""
    async with scripted() as upstream:
        remaining = list(scripts)

        async def play(exchange: Exchange) -> None:
            await (remaining.pop(0) if len(remaining) > 1 else remaining[0])(exchange)

        upstream.script = play
        client = RetryingClient(upstream, random=random or NoJitter(), most=most)
        yield client
        await client.engine.close()
        assert client.wheel.waiting == {}
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )


def respond_with_status(status: int, headers: bytes = b"") -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.respond(status, b'{"error":{"message":"no"}}', headers=headers)

    return script


async def cut_before_a_status(exchange: Exchange) -> None:
    exchange.writer.close()


async def cut_before_a_token(exchange: Exchange) -> None:
    await exchange.send_head()
    exchange.writer.close()


async def end_before_a_token(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_last_chunk()


async def cut_after_a_token(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(delta("one"))
    exchange.writer.close()


async def junk(exchange: Exchange) -> None:
    await exchange.send_head()
    await exchange.send_chunks(b"data: junk\n\n")
    exchange.writer.close()


TRANSIENT = [
    *map(respond_with_status, (500, 502, 503, 504, 529, 429)),
    cut_before_a_status,
    cut_before_a_token,
    end_before_a_token,
]


@pytest.mark.every_poller
@pytest.mark.parametrize("failing", TRANSIENT)
async def test_transient_upstream_error_is_retried_without_an_event(failing: Script) -> None:
    async with retrying_client(failing, respond_with(b"fine")) as client:
        assert (await client.request()).reason == "stop"
        assert client.texts == ["fine"]
        assert len(client.upstream.exchanges) == 2
        assert (client.metrics.upstream_retries, client.metrics.upstream_errors) == (1, {})


@pytest.mark.parametrize("most", [0, 1, 2, 5])
async def test_number_of_retries_is_limited(most: int) -> None:
    async with retrying_client(respond_with_status(500), most=most) as client:
        assert isinstance(await client.request_error(), UpstreamFailed)
        assert len(client.upstream.exchanges) == most + 1
        assert client.metrics.upstream_retries == len(client.clock.waits_s) == most
        assert client.metrics.upstream_errors == {"upstream_failed": 1}, "the failure is not counted once"


@pytest.mark.parametrize("failing", [*map(respond_with_status, (400, 401, 403, 404, 413, 422, 302, 501)), junk])
async def test_permanent_upstream_error_is_not_retried(failing: Script) -> None:
    async with retrying_client(failing, respond_with(b"fine")) as client:
        await client.request_error()
        assert len(client.upstream.exchanges) == 1
        assert (client.metrics.upstream_retries, client.clock.waits_s) == (0, [])


async def test_request_is_not_retried_after_a_token() -> None:
    async with retrying_client(cut_after_a_token, respond_with(b"fine")) as client:
        assert isinstance(await client.request_error(), UpstreamReset)
        assert client.texts == ["one"]
        assert len(client.upstream.exchanges) == 1


async def test_request_is_not_retried_after_a_token_of_a_retry() -> None:
    async with retrying_client(respond_with_status(500), cut_after_a_token, respond_with(b"fine")) as client:
        assert isinstance(await client.request_error(), UpstreamReset)
        assert client.texts == ["one"]
        assert len(client.upstream.exchanges) == 2


@pytest.mark.parametrize(
    ("retry_after", "wait_s"),
    [(b"1", 1.0), (b"29", 29.0), (b"Tue, 14 Nov 2023 22:13:22 GMT", 2.0), (b"soon", 0.0), (b"-5", 0.0), (None, 0.0)],
)
async def test_wait_is_never_shorter_than_retry_after(
    retry_after: bytes | None, wait_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "time", lambda: 1_700_000_000.0)
    headers = b"" if retry_after is None else b"Retry-After: %b\r\n" % retry_after
    async with retrying_client(respond_with_status(429, headers), respond_with(b"fine")) as client:
        await client.request()
        assert client.clock.waits_s == pytest.approx([wait_s])


@pytest.mark.parametrize("seconds", [30, 31, 3_600])
async def test_wait_over_the_first_token_timeout_fails_at_once(seconds: int) -> None:
    async with retrying_client(
        respond_with_status(429, b"Retry-After: %d\r\n" % seconds), respond_with(b"fine")
    ) as client:
        error = await client.request_error()
        assert isinstance(error, UpstreamRateLimited)
        assert error.retry_after_s == seconds
        assert client.clock.waits_s == []


async def test_non_streaming_request_fails_at_once_if_the_wait_is_too_long() -> None:
    async with retrying_client(respond_with_status(429, b"Retry-After: 31\r\n"), respond_with(b"fine")) as client:
        with pytest.raises(UpstreamRateLimited):
            await client.engine.fetch(PassthroughRequest("/chat/completions", b"{}"))
        assert client.clock.waits_s == []


async def test_first_token_timeout_includes_retries() -> None:
    async with retrying_client(respond_with_status(503, b"Retry-After: 12\r\n"), most=9) as client:
        error = await client.request_error()
        assert error.retry_after_s == 12.0
        assert client.clock.waits_s == pytest.approx([12.0, 12.0])
        assert len(client.upstream.exchanges) == 3


async def test_late_first_token_is_not_retried() -> None:
    async def comments(exchange: Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(b": ping\n\n")
        await exchange.wait_closed()

    async with retrying_client(comments, respond_with(b"fine")) as client:
        failing = asyncio.ensure_future(client.request_error())
        await eventually(lambda: len(client.upstream.exchanges) == 1, lambda: "no request was sent")
        client.wheel.advance(30.5)
        assert isinstance(await failing, UpstreamFirstTokenTimeout)
        assert len(client.upstream.exchanges) == 1


async def test_concurrent_failures_are_retried_at_different_times() -> None:
    async with retrying_client(respond_with_status(500), random=Random(3), most=1) as client:
        await asyncio.gather(client.request_error(), client.request_error())
        first_s, second_s = client.clock.waits_s
        assert first_s != second_s
        assert 0.0 <= min(first_s, second_s) <= max(first_s, second_s) <= 0.25


@pytest.mark.every_poller
async def test_cancellation_during_the_wait_releases_everything() -> None:
    async with retrying_client(cut_before_a_status, respond_with(b"fine")) as client:
        client.clock.sleep_gate = asyncio.Event()
        before = asyncio.all_tasks()
        replying = asyncio.ensure_future(client.request())
        await eventually(lambda: bool(client.clock.waits_s), lambda: "no wait has begun")
        replying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replying
        assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()
        assert len(client.upstream.exchanges) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_chat_has_no_trace_of_a_failed_attempt(stream: bool) -> None:
    async with scripted() as upstream, running(UPSTREAM_URL=upstream.url) as here:
        here.server.app.loopback_guard = None
        engine = here.server.parts.upstream
        assert engine is not None
        engine.retries = Retries(here.server.parts.clock, NoJitter())
        answered = respond_with(b"fine")

        async def second_time(exchange: Exchange) -> None:
            await (cut_before_a_token if len(upstream.exchanges) == 1 else answered)(exchange)

        upstream.script = second_time
        response = await fetch(here.port, chat("Hello", model=None, stream=stream))
        assert response.status == 200
        assert (response_text(response.body) if stream else json.loads(response.body)["content"]) == "fine"
        assert here.server.metrics.upstream_retries == 1
        upstream.script = cut_after_a_token
        if stream:
            assert error_of((await fetch(here.port, chat("Hello", model=None))).body)["code"] == "upstream_reset"
            assert here.server.metrics.upstream_retries == 1
        upstream.script = respond_with_status(429, b"Retry-After: 7200\r\n")
        refused = await fetch(here.port, chat("Hello", model=None, stream=stream))
        assert (refused.status, refused.headers["retry-after"]) == (503, "7200")
        assert here.server.metrics.upstream_retries == 1
