"""Ollama's `context` and embeddings in front of an upstream that knows neither."""

import json
from typing import Any

import pytest

from tests.end_to_end.client import ClientResponse, fetch, request
from tests.end_to_end.test_upstream import relaying
from tests.end_to_end.upstream import DONE, FINISH, Exchange, event, respond_with


async def generated(port: int, **fields: Any) -> dict[str, Any]:
    """The response of `/api/generate`, or the last line of its stream."""
    body = json.dumps({"model": "up-1", **fields})
    answer = await fetch(port, request("/api/generate", method="POST", body=body, Content_Type="application/json"))
    assert answer.status == 200, answer.body
    last: dict[str, Any] = json.loads(answer.body.splitlines()[-1])
    return last


@pytest.mark.parametrize("stream", [True, False])
async def test_a_context_that_is_sent_back_continues_the_conversation(stream: bool) -> None:
    async with relaying() as (here, upstream):
        first = await generated(here.port, prompt="one", system="Be kind.", stream=stream)
        second = await generated(here.port, prompt="two", context=first["context"], stream=stream)
        await generated(here.port, prompt="three", context=second["context"], stream=stream)
        await generated(here.port, prompt="four", context=[1, 2, 3], stream=stream)

        sent = [[each["content"] for each in exchange.body["messages"]] for exchange in upstream.exchanges]
        assert sent == [
            ["Be kind.", "one"],
            ["Be kind.", "one", "Hello", "two"],
            ["Be kind.", "one", "Hello", "two", "Hello", "three"],
            ["four"],
        ]


async def test_the_simulator_has_no_context_and_takes_any() -> None:
    async with relaying() as (here, upstream):
        last = await generated(here.port, model="sim:gap=0ms,tokens=2", prompt="one", context=[1, 2, 3])

        assert last["done"] is True
        assert "context" not in last
        assert upstream.exchanges == []


async def embedded(body: bytes, *, route: str, **fields: Any) -> ClientResponse:
    """The response to a request for embeddings, which the upstream answers with `body`."""

    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with relaying() as (here, upstream):
        upstream.script = script
        return await fetch(here.port, request(route, method="POST", body=json.dumps({"model": "up-1", **fields})))


VECTORS = b'{"object":"list","data":[{"embedding":[0.10, -2e-3]},{"embedding":[1]}]}'


async def test_embeddings_are_passed_on_digit_by_digit() -> None:
    answer = await embedded(VECTORS, route="/api/embed", input=["a", "b"])

    assert answer.status == 200
    assert b'"embeddings":[[0.10, -2e-3],[1]]' in answer.body


async def test_one_embedding_is_passed_on() -> None:
    answer = await embedded(VECTORS, route="/api/embeddings", prompt="a")

    assert (answer.status, answer.body) == (200, b'{"embedding":[0.10, -2e-3]}')


@pytest.mark.parametrize("body", [b'{"data":[{"embedding":"AAAA"}]}', b'{"data":[{}]}', b'{"data":1}', b"<html>"])
async def test_invalid_embeddings_are_malformed(body: bytes) -> None:
    assert (await embedded(body, route="/api/embed", input="a")).status == 502


SCORED = (
    b'{"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":{"content":[{"token":"Hi","logprob":-0.5,'
    b'"bytes":[72,105],"top_logprobs":[{"token":"Ho","logprob":-2,"bytes":[72,111]}]}]}}]}'
)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_log_probabilities_are_requested_and_passed_on(path: str, stream: bool) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send_head()
        await exchange.send_chunks(event(SCORED), FINISH, DONE)
        await exchange.send_last_chunk()

    async with relaying() as (here, upstream):
        upstream.script = script
        requested = {"prompt": "x", "messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 1}
        body = json.dumps({"model": "up-1", "stream": stream, **requested})
        answer = await fetch(here.port, request(path, method="POST", body=body))
        lines = [json.loads(line) for line in answer.body.splitlines()]

        [token] = lines[0]["logprobs"]
        assert (token["token"], token["bytes"], token["top_logprobs"][0]["token"]) == ("Hi", [72, 105], "Ho")
        assert (upstream.exchanges[0].body["logprobs"], upstream.exchanges[0].body["top_logprobs"]) == (True, 1)


async def test_refused_log_probabilities_are_left_out() -> None:
    async def script(exchange: Exchange) -> None:
        if "logprobs" in exchange.body:
            await exchange.respond(400, b'{"error":{"message":"`logprobs` is not supported with this model"}}')
        else:
            await respond_with(b"Hi")(exchange)

    async with relaying() as (here, upstream):
        upstream.script = script
        last = await generated(here.port, prompt="x", logprobs=True, stream=False)

        assert (last["response"], "logprobs" in last) == ("Hi", False)
        assert len(upstream.exchanges) == 2
