import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import pytest
from aiohttp import web

from tokenfall.engines import upstream as module
from tokenfall.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamStreamError,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from tokenfall.events import CallPart, Delta, Finished, Passed, Thought, Usage
from tokenfall.messages import ChatRequest, Message
from tokenfall.metrics import Metrics
from tokenfall.upstream.engine import Passing, UpstreamEngine
from tokenfall.upstream.retries import Retries
from tokenfall.upstream.timeouts import UpstreamTimeouts

from tests.doubles.clocks import FakeWheel, InstantClock

KEY = "sk-very-s3cret"
REQUEST = ChatRequest(messages=(Message("user", "Hi"),), model="up-1", max_tokens=9)
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class House:
    """An engine, and the provider that it asks: it answers as `answer` says, request for request."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.wheel = FakeWheel()
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[Handler] = []
        self.heard: list[Any] = []
        self.url = ""

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, request.path, headers, await request.read()))
        return await self.answers[min(len(self.asked), len(self.answers)) - 1](request)

    def engine(self, *, retries: bool = False) -> UpstreamEngine:
        again = Retries(InstantClock(self.wheel.now_s), Random(1)) if retries else None
        return UpstreamEngine(
            self.url + "/v1/", KEY, timeouts=UpstreamTimeouts(), wheel=self.wheel, metrics=self.metrics, retries=again
        )

    def hear(self, event: Any) -> None:
        self.heard.append(event)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    runner = web.ServerRunner(web.Server(house.serve))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    house.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield house
    await runner.cleanup()


def whole(body: bytes, status: int = 200, **headers: str) -> Handler:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=body, status=status, headers=sent)

    return answer


def stream(*pieces: bytes) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        return response

    return answer


async def fetch(house: House, *answers: Handler, retries: bool = False) -> bytes:
    house.answers = list(answers)
    engine = house.engine(retries=retries)
    try:
        return await engine.fetch(Passing("/embeddings", b'{"a":1}'))
    finally:
        await engine.close()


async def pass_on(house: House, *answers: Handler, retries: bool = False) -> Finished:
    house.answers = list(answers)
    engine = house.engine(retries=retries)
    try:
        return await engine.pass_on(Passing("/responses", b"{}"), house.hear, ends=lambda _: False)
    finally:
        await engine.close()


async def converse(house: House, *answers: Handler) -> Finished:
    house.answers = list(answers)
    engine = house.engine()
    try:
        return await engine.converse(REQUEST, house.hear)
    finally:
        await engine.close()


# Whole answers


async def test_a_whole_answer_is_as_it_is(house: House) -> None:
    assert await fetch(house, whole(b'{"b":  2}')) == b'{"b":  2}'

    ((method, path, headers, body),) = house.asked
    assert (method, path, body) == ("POST", "/v1/embeddings", b'{"a":1}')
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["accept"], headers["accept-encoding"]) == ("application/json", "identity")


async def test_models_are_got(house: House) -> None:
    house.answers = [whole(b'{"data":[]}')]
    engine = house.engine()

    assert await engine.models() == b'{"data":[]}'
    assert house.asked[0][:2] == ("GET", "/v1/models")
    assert house.asked[0][3] == b""
    await engine.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, UpstreamRefused),
        (401, UpstreamKeyRefused),
        (404, UpstreamRefused),
        (429, UpstreamRateLimited),
        (500, UpstreamFailed),
        (302, UpstreamError),
    ],
)
async def test_a_refusal_has_the_providers_status(house: House, status: int, error: type[UpstreamError]) -> None:
    answer = whole(b'{"error":{"message":"no","param":"model"}}', status, Retry_After="7", Location="/elsewhere")
    for asking in (fetch, pass_on, converse):
        with pytest.raises(error) as caught:
            await asking(house, answer)
        assert caught.value.status == status
        assert caught.value.retry_after_s == (7.0 if status in (429, 500) else None)
        assert caught.value.param == ("model" if error is UpstreamRefused else None)

    assert house.metrics.upstream_errors == {error.code: 3}


@pytest.mark.parametrize("asking", [fetch, pass_on, converse])
async def test_the_key_is_in_no_error(house: House, asking: Callable[..., Awaitable[Any]]) -> None:
    words = b'{"error":{"message":"Incorrect key provided: %b."}}' % KEY.encode()
    with pytest.raises(UpstreamRefused) as caught:
        await asking(house, whole(words, 400))

    assert caught.value.message == "the upstream refused the request: Incorrect key provided: [key]."
    assert caught.value.status == 400
    assert caught.value.__cause__ is None


async def test_the_key_is_in_no_error_inside_a_stream(house: House) -> None:
    with pytest.raises(UpstreamStreamError) as caught:
        await converse(house, stream(b'data: {"error":"key %b"}\n\n' % KEY.encode()))

    assert KEY not in caught.value.message


async def test_a_compressed_answer_was_not_asked_for(house: House) -> None:
    with pytest.raises(UpstreamMalformed, match="compressed"):
        await fetch(house, whole(b"x", Content_Encoding="gzip"))


async def test_a_whole_answer_has_its_bound(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WHOLE_BYTES", 1_000)
    assert len(await fetch(house, whole(b"x" * 1_000))) == 1_000
    with pytest.raises(UpstreamMalformed, match="more than 1000 bytes"):
        await fetch(house, whole(b"x" * 1_001))


async def test_a_failure_that_passes_is_asked_again(house: House) -> None:
    assert await fetch(house, whole(b"", 503), whole(b"", 429), whole(b"{}"), retries=True) == b"{}"
    assert (len(house.asked), house.metrics.upstream_retries, house.metrics.upstream_errors) == (3, 2, {})


async def test_a_mistake_is_not_asked_again(house: House) -> None:
    with pytest.raises(UpstreamRefused):
        await fetch(house, whole(b"", 400), whole(b"{}"), retries=True)

    assert len(house.asked) == 1


async def test_who_does_not_listen_cannot_be_reached(house: House) -> None:
    engine = UpstreamEngine(
        "http://127.0.0.1:1", KEY, timeouts=UpstreamTimeouts(), wheel=house.wheel, metrics=house.metrics
    )
    with pytest.raises(UpstreamUnreachable):
        await engine.fetch(Passing("/embeddings", b""))
    await engine.close()


# Conversations


async def test_thoughts_and_calls_are_heard(house: House) -> None:
    call = b'{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}'
    finished = await converse(
        house,
        stream(
            b'data: {"choices":[{"delta":{"reasoning":"Hm"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"So","tool_calls":[%b]}}]}\n\n' % call,
            b'data: {"model":"up-1","choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\n',
            b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
        ),
    )

    assert house.heard == [Thought("Hm"), Delta("So"), CallPart(0, "c", "f", "{}")]
    assert finished == Finished("tool_calls", "up-1", Usage(1, 2))
    assert house.asked[0][:2] == ("POST", "/v1/chat/completions")
    assert house.asked[0][2]["accept"] == "text/event-stream"


# Passed on


async def test_events_are_passed_on_as_they_are(house: House) -> None:
    finished = await pass_on(house, stream(b"event: x\ndata: any", b"thing\n\n: ping\n\ndata: [DONE]\n\ndata: no\n\n"))

    assert house.heard == [Passed(b"anything"), Passed(b"[DONE]")]
    assert finished == Finished("stop", "")
    assert house.asked[0][1::2] == ("/v1/responses", b"{}")


async def test_what_is_passed_on_without_an_end_is_truncated(house: House) -> None:
    with pytest.raises(UpstreamTruncated):
        await pass_on(house, stream(b"data: 1\n\n"), retries=True)

    assert house.heard == [Passed(b"1")]
    assert len(house.asked) == 1  # what was said is not asked for again


async def test_what_is_no_stream_is_not_passed_on(house: House) -> None:
    with pytest.raises(UpstreamBroken):
        await pass_on(house, whole(b'{"error":"no"}', Content_Type="application/json"))

    assert house.heard == []


async def test_nothing_is_passed_on_without_bound(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenfall.engines.tap.MAX_ANSWER_BYTES", 1_000)
    with pytest.raises(UpstreamMalformed, match="more than"):
        await pass_on(house, stream(*[b"data: %b\n\n" % (b"x" * 100)] * 11))

    assert len(house.heard) == 10


async def test_nothing_waits_on_the_wheel_afterwards(house: House) -> None:
    await pass_on(house, stream(b"data: 1\n\ndata: [DONE]\n\n"))
    await fetch(house, whole(b"{}"))
    await asyncio.sleep(0)

    assert house.wheel.waiting == {}
